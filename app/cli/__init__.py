"""The command line: one module per command, whose heavy imports wait until it is run."""

"""Version control: which changes of a repository concern which workspace.  Knows no host and no runs."""

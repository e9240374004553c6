"""Where things are kept: database, objects, keys, streams."""

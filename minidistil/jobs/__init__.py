"""Jobs of the command line, each in a directory of its own."""

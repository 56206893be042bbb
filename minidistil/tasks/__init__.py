"""Tasks: a folder for each kind, and `registry`, the table of their names."""

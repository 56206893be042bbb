"""Whole jobs, each in a directory of its own: what the command line carries out."""

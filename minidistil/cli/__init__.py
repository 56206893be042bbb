"""The command line: a file for each verb, and `main`, which finds them."""

"""Pages: a run, or predictions, as one HTML file that needs neither a network nor a script."""

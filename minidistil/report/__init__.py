"""Pages: a run, predictions, or the inside of a model, as one HTML file that needs no network."""

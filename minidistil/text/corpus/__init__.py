"""Corpora: folders of text, encoded once."""

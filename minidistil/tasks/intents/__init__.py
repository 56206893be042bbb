"""Intents and frequently asked questions: the nearest of some entries, or none."""

"""Semantic similarity, translations and retrieval."""

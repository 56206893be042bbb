"""Text classification, one label or many, and regression."""

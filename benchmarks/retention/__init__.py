"""Distillation on many tasks: see `python -m benchmarks.retention --help`."""

"""Old name of `minidistil.pipeline`; it stays for a release."""

from minidistil.tasks.registry import pipeline as pipeline

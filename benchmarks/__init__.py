"""minidistil beside PyTorch and ONNX Runtime, in one run: `make bench`, or `python -m benchmarks --help`."""

"""Machinery of the kernels: compilation, threads, memory, vector mathematics."""

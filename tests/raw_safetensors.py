"""Builds safetensors files byte by byte: sound ones with dtypes NumPy lacks, and lying ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "bool": "BOOL"}


def assemble(header: Any, data: bytes = b"") -> bytes:
    """A file with this header (JSON values, or its raw bytes) and this data."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data


def entry(dtype: str, shape: list[Any], start: Any, stop: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def bfloat16_bits(values: np.ndarray) -> np.ndarray:
    """Float32 values cut to bfloat16, as uint16."""
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def write_raw(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """A sound file. uint16 arrays are taken for the bits of bfloat16."""
    header, data = {}, b""
    for name, array in tensors.items():
        dtype = "BF16" if array.dtype == np.uint16 else NAMES[array.dtype.name]
        header[name] = entry(dtype, list(array.shape), len(data), len(data) + array.nbytes)
        data += array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(assemble(header, data))
    return path

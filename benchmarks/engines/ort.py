"""ONNX Runtime on graphs fused for transformers; see export.py."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from benchmarks.jobs import ForwardJob, Job
from benchmarks.padding import pad
from benchmarks.workloads import FOLDER, Array, Workload

FUSED, UNMASKED = "fused", "fused-unmasked"
TRIALS = 5


def build(workload: Workload, threads: int) -> Job:
    return Forward(workload, threads)


class Forward(ForwardJob):
    """Forward pass of the graph with a mask; where nothing is padded, of a second one if that is faster."""

    def __init__(self, workload: Workload, threads: int) -> None:
        super().__init__(workload, workload.batches())
        sequences = self.batches[0].sequences
        padded = pad(sequences)[1] is not None
        sessions = {
            variant: session(workload.saved, variant, threads)
            for variant in ((FUSED,) if padded else (FUSED, UNMASKED))
        }
        seconds = dict.fromkeys(sessions, float("inf"))
        for _ in range(TRIALS if len(sessions) > 1 else 0):
            for variant, self.session in sessions.items():
                began = time.perf_counter()
                self.forward(sequences)
                seconds[variant] = min(seconds[variant], time.perf_counter() - began)
        self.notes["graph"] = min(seconds, key=seconds.__getitem__)
        self.session = sessions[self.notes["graph"]]

    def forward(self, sequences: Sequence[Array]) -> dict[str, Any]:
        ids, mask = pad(sequences)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids) if mask is None else mask}
        wanted = {node.name: feeds[node.name] for node in self.session.get_inputs()}
        names = [node.name for node in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, wanted), strict=True))

    def arrays(self, outputs: dict[str, Any]) -> dict[str, Array]:
        return outputs


def session(saved: str, variant: str, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    path = graph(saved, variant)
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def graph(saved: str, variant: str) -> Path:
    """Path of the graph of a saved model."""
    return FOLDER / f"graphs-{onnxruntime.__version__}" / f"{saved}-{variant}.onnx"

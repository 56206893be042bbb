"""Graphs for ONNX Runtime, made once: exported by PyTorch, then fused by ONNX Runtime's own optimiser.

    python -m benchmarks.export

Two of each model. In both, embeddings, bias + GELU and residual + layernorm are fused. "fused" has the
Attention operator with a mask; "fused-unmasked" has MultiHeadAttention without one, which ONNX Runtime
computes by tiles as flash attention does.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

from benchmarks.engines.ort import FUSED, UNMASKED, graph
from benchmarks.workloads import MODELS, ORT, SHAPES, WORKLOADS, Workload

OPSET = 17


class Positional(torch.nn.Module):
    """The model with positional arguments and a tuple of outputs, as the exporter wants it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).to_tuple()


def export(workload: Workload, path: Path) -> None:
    """The plain graph. Its attention is written out in small operators: that is what the optimiser knows."""
    kind = getattr(transformers, workload.kind)
    # Whole in evaluation mode, or dropout comes back when the exporter restores the mode.
    model = Positional(kind.from_pretrained(MODELS / workload.saved, attn_implementation="eager")).eval()
    ids = torch.from_numpy(np.random.default_rng(0).integers(1000, 2000, (2, 7)))
    mask = torch.ones_like(ids)
    outputs = ["last_hidden_state", "pooler_output"][: len(model(ids, mask))]
    inputs = ["input_ids", "attention_mask"]
    axes = {name: {0: "batch", 1: "length"} for name in (*inputs, "last_hidden_state")}
    torch.onnx.export(
        model,
        (ids, mask),
        str(path),
        input_names=inputs,
        output_names=outputs,
        dynamic_axes={**axes, "pooler_output": {0: "batch"}},
        opset_version=OPSET,
        dynamo=False,  # the optimiser does not recognise the graphs of the newer exporter
    )


def fuse(workload: Workload, plain: Path, variant: str) -> Any:
    """The optimised graph, with every layer fused."""
    shape, options = SHAPES[workload.model], FusionOptions("bert")
    options.use_multi_head_attention = variant == UNMASKED
    fused = optimizer.optimize_model(
        str(plain),
        model_type="bert",
        num_heads=shape.heads,
        hidden_size=shape.hidden,
        optimization_options=options,
    )
    attention, mask = ("MultiHeadAttention", 4) if variant == UNMASKED else ("Attention", 3)
    count = fused.get_fused_operator_statistics()
    expected = {attention: shape.layers, "BiasGelu": shape.layers, "SkipLayerNormalization": 2 * shape.layers}
    missing = {name: count[name] for name, wanted in expected.items() if count[name] != wanted}
    if missing:
        raise RuntimeError(f"{workload.saved}: the optimiser fused {missing}, expected {expected}")
    if variant == UNMASKED:
        for node in fused.get_nodes_by_op_type(attention):
            node.input[mask] = ""
        fused.prune_graph()
    return fused


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    workloads = {workload.saved: workload for workload in WORKLOADS if ORT in workload.engines}
    for saved, workload in workloads.items():
        paths = {variant: graph(saved, variant) for variant in (FUSED, UNMASKED)}
        if all(path.exists() for path in paths.values()):
            continue
        print(f"exporting {saved} for ONNX Runtime", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            plain = Path(scratch) / "plain.onnx"
            export(workload, plain)
            for variant, path in paths.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_suffix(".partial")
                fuse(workload, plain, variant).save_model_to_file(str(partial))
                partial.rename(path)


if __name__ == "__main__":
    main()

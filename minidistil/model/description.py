"""Description of a model: facts for programs, and rows for people, of `minidistil inspect` and of `repr`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minidistil.weights.report import shorten

if TYPE_CHECKING:
    from minidistil.model.model import Model

LABELS = 8  # names of labels that `repr` shows


def facts(model: Model) -> dict[str, Any]:
    """Architecture, sizes, parameters by part, memory, and what loading found."""
    config = model.config
    parts: dict[str, int] = {}
    for part, specs in model.parts().items():
        name = "layers" if part.startswith("layer") else part
        if specs:
            parts[name] = parts.get(name, 0) + sum(spec.size for spec in specs)
    parameter_bytes = model.params.nbytes
    return {
        "architecture": type(model).__name__,
        "model_type": config.model_type,
        "layers": config.depth,
        "shared_layers": config.depth - len(model.encoder.uses()),
        "hidden_size": config.hidden_size,
        "attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "activation": config.hidden_act,
        "vocabulary": config.vocab_size,
        "positions": config.max_sequence_length,
        "labels": config.label_names if any(head.classes() for head in model.heads) else [],
        "parameters": {**parts, "total": model.params.num_parameters},
        # Parameters alone; then with gradients and both Adam moments.
        "memory_bytes": {"inference": parameter_bytes, "training": 4 * parameter_bytes},
        "load_report": None if model.load_report is None else model.load_report.to_dict(),
    }


def described(model: Model, labels: int | None = LABELS) -> dict[str, str]:
    """Rows about a model, by their names; at most so many names of labels."""
    found = facts(model)
    parameters, memory = found["parameters"], found["memory_bytes"]
    by_part = ", ".join(f"{part} {count:,}" for part, count in parameters.items() if part != "total")
    names = found["labels"]
    own = found["layers"] - found["shared_layers"]
    sharing = f", which share the parameters of {own}" if found["shared_layers"] else ""
    width = model.config.embedding_size
    narrow = f", tables of width {width}" if width != found["hidden_size"] else ""
    return {
        "architecture": f"{found['architecture']} ({found['model_type']})",
        "layers": f"{found['layers']} of width {found['hidden_size']}, {found['attention_heads']} heads, "
        f"feed-forward {found['intermediate_size']}, {found['activation']}{sharing}",
        "vocabulary": f"{found['vocabulary']:,} tokens, {found['positions']} positions{narrow}",
        "labels": shorten(names, labels or len(names)),
        "parameters": f"{parameters['total']:,}: {by_part}",
        "memory": f"{memory['inference'] / 1e6:.1f} MB for its parameters; "
        f"{memory['training'] / 1e6:.1f} MB with gradients and AdamW's moments",
    }


def state(model: Model) -> str:
    """Precision and backend of a model, and whether its parameters may change."""
    params = model.params
    place = (
        "some parameters in their file"
        if params.mapped
        else "read-only"
        if params.packed
        else "to be trained"
    )
    frozen = f", {len(model.frozen)} of {len(params)} tensors frozen" if model.frozen else ""
    return f"{model.precision.name}, backend {model.backend.name}; {place}{frozen}"


def lines(title: str, rows: Mapping[str, str]) -> str:
    """A title, and below it a row for each name; without a value, none."""
    return "\n".join([title, *(f"  {name:13}{value}" for name, value in rows.items() if value)])

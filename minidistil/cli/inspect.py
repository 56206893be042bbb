"""minidistil inspect"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.model.model import Model

HELP = "tell what a model directory holds"
EXAMPLES = """\
  minidistil inspect runs/demo/student
  minidistil inspect google-bert/bert-base-uncased --as BertForMaskedLM --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="directory, name (minilm) or hub id of a model")
    parser.add_argument("--as", dest="architecture", metavar="CLASS", help="load it as this class")
    parser.add_argument("--strict", action="store_true", help="fail if anything is missing or left over")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.model import class_or_encoder, model_class
    from minidistil.model.families import load_config
    from minidistil.weights.hub import resolve

    path = resolve(args.model)
    kind = model_class(args.architecture) if args.architecture else class_or_encoder(load_config(path), path)
    model = kind.from_pretrained(path, strict=args.strict, mapped=True, quiet=True)
    facts = describe(model)
    print(json.dumps(facts) if args.json else _text(str(path), facts, model))
    return 0


def describe(model: Model) -> dict[str, Any]:
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
        "layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "activation": config.hidden_act,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "labels": config.label_names if any(head.classes() for head in model.heads) else [],
        "parameters": {**parts, "total": model.params.num_parameters},
        # Parameters alone; then with gradients and both Adam moments.
        "memory_bytes": {"inference": parameter_bytes, "training": 4 * parameter_bytes},
        "load_report": None if model.load_report is None else model.load_report.to_dict(),
    }


def _text(path: str, facts: dict[str, Any], model: Model) -> str:
    parameters, memory = facts["parameters"], facts["memory_bytes"]
    by_part = ", ".join(f"{part} {count:,}" for part, count in parameters.items() if part != "total")
    rows = {
        "architecture": f"{facts['architecture']} ({facts['model_type']})",
        "layers": f"{facts['layers']} of width {facts['hidden_size']}, {facts['attention_heads']} heads, "
        f"feed-forward {facts['intermediate_size']}, {facts['activation']}",
        "vocabulary": f"{facts['vocabulary']:,} tokens, {facts['positions']} positions",
        **({"labels": ", ".join(facts["labels"])} if facts["labels"] else {}),
        "parameters": f"{parameters['total']:,}: {by_part}",
        "memory": f"{memory['inference'] / 1e6:.1f} MB for its parameters; "
        f"{memory['training'] / 1e6:.1f} MB with gradients and AdamW's moments",
    }
    return "\n".join([path, *(f"  {name:13}{value}" for name, value in rows.items()), str(model.load_report)])

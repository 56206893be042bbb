"""minidistil reference"""

from __future__ import annotations

import argparse
from typing import Any

from minidistil.errors import UsageError

HELP = "write a tiny model with every activation and gradient, to check an implementation of your own against"

EXAMPLES = """\
  minidistil reference --family bert --out reference
  minidistil reference --family bert --head question-answering --out reference --seed 3
  minidistil reference --family bert --out reference --set hidden_act=relu --set num_hidden_layers=3
  minidistil compare reference yours.safetensors

The directory holds config.json and model.safetensors, as of any model, and inputs, values and gradients as
safetensors, in float64. index.json says of each tensor what it is, its shape, what it is computed from, and
how far another implementation may be from it. docs/conformance.md has the layout, and a check that needs no
package. The same arguments give the same bytes on one machine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--family", required=True, metavar="NAME", help="model_type of config.json: bert, ..."
    )
    parser.add_argument(
        "--head",
        default="masked-lm",
        metavar="NAME",
        help="masked-lm, token-classification, ...; bare for the encoder alone (default: masked-lm)",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="a new or empty directory; a reference there is replaced"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of weights, inputs and targets (default: 0)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a field of the config, such as hidden_act=relu",
    )
    parser.add_argument("--json", action="store_true", help="print the index")


def run(args: argparse.Namespace) -> int:
    from minidistil.files import to_json
    from minidistil.verify.reference import write_reference

    changes = dict(map(_setting, args.set))
    index = write_reference(args.out, args.family, args.head, seed=args.seed, changes=changes)
    print(to_json(index) if args.json else _table(args.out, index))
    return 0


def _setting(text: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE; a value is JSON, or else a word."""
    import json

    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"--set {text}: expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _table(out: str, index: dict[str, Any]) -> str:
    """The model, a line for each file, and the command that comes next."""
    from itertools import groupby

    sizes = ", ".join(f"{letter} {size}" for letter, size in index["sizes"].items())
    lines = [f"{out}: {index['architecture']}, seed {index['seed']}, float64", f"sizes: {sizes}", ""]
    lines.append(f"{'file':21}  tensors  first")
    for file, group in groupby(index["tensors"], key=lambda t: t["file"]):
        tensors = list(group)
        lines.append(f"{file:21}  {len(tensors):7}  {tensors[0]['name']}")
    return "\n".join([*lines, "", f"check yours: minidistil compare {out} YOURS.safetensors"])

"""minidistil inspect"""

from __future__ import annotations

import argparse

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
    from minidistil.model.description import described, facts, lines
    from minidistil.model.families import load_config
    from minidistil.weights.hub import resolve

    path = resolve(args.model)
    kind = model_class(args.architecture) if args.architecture else class_or_encoder(load_config(path), path)
    model = kind.from_pretrained(path, strict=args.strict, mapped=True, quiet=True)
    if args.json:
        print(json.dumps(facts(model)))
    else:
        print(f"{lines(str(path), described(model, labels=None))}\n{model.load_report}")
    return 0

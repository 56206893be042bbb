"""minidistil fetch"""

from __future__ import annotations

import argparse

HELP = "fetch the pretrained encoder and the rated sentences that the demo uses"
EXAMPLES = """\
  minidistil fetch
  MINIDISTIL_CACHE=/data/cache minidistil fetch --json

It prints a name and a directory. Every verb takes the name of an encoder for its directory, and fetches it
if need be:

  minidistil embed minilm sentences.txt --out vectors.npy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print where they are as JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.jobs.demo.assets import fetch_reviews
    from minidistil.weights.assets import fetch_encoder
    from minidistil.weights.encoders import ENCODERS

    encoders = {name: str(fetch_encoder(name)) for name in ENCODERS}
    reviews = str(fetch_reviews())
    if args.json:
        print(json.dumps({"encoder": encoders["minilm"], "reviews": reviews, "encoders": encoders}))
    else:
        for name, path in {**encoders, "reviews": reviews}.items():
            print(f"{name}\t{path}")
    return 0

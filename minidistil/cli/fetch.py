"""minidistil fetch"""

from __future__ import annotations

import argparse

HELP = "fetch the pretrained encoder and the rated sentences that the demo uses"
EXAMPLES = """\
  minidistil fetch
  MINIDISTIL_CACHE=/data/cache minidistil fetch --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print where they are as JSON")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.jobs.demo.assets import fetch_minilm, fetch_reviews

    places = {"encoder": str(fetch_minilm()), "reviews": str(fetch_reviews())}
    print(json.dumps(places) if args.json else "\n".join(f"{name}\t{path}" for name, path in places.items()))
    return 0

"""Hold out a part of a data file that comes without one, for docs/results.md.

    python benchmarks/split.py SMSSpamCollection --out runs/results/sms      every fifth line
    python benchmarks/split.py squad.json --out runs/results/squad           every fifth context

Writes `train` and `test`, with the file's ending, into the directory. Lines, and contexts, that are alike
stay together, so that nothing held out was learnt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from minidistil.files import atomic_write


def held_out(text: str, every: int) -> bool:
    """Choose one of `every` texts for measuring, by the hash of its words."""
    digest = hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()
    return int.from_bytes(digest[:8], "big") % every == 0


def of_lines(text: str, every: int) -> tuple[str, str]:
    parts: tuple[list[str], list[str]] = [], []
    for line in text.replace("\r\n", "\n").removesuffix("\n").split("\n"):
        parts[held_out(line, every)].append(line + "\n")
    return "".join(parts[0]), "".join(parts[1])


def of_contexts(text: str, every: int) -> tuple[str, str]:
    """Of a file as SQuAD's."""
    whole: dict[str, Any] = json.loads(text)
    made = []
    for wanted in (False, True):
        articles = [
            {
                **article,
                "paragraphs": [p for p in article["paragraphs"] if held_out(p["context"], every) == wanted],
            }
            for article in whole["data"]
        ]
        made.append(json.dumps({**whole, "data": articles}, ensure_ascii=False))
    return made[0], made[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--every", type=int, default=5, metavar="N", help="hold out one of N (5)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    text = args.file.read_bytes().decode("utf-8-sig")
    split = of_contexts if args.file.suffix == ".json" else of_lines
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part in zip(("train", "test"), split(text, args.every), strict=True):
        with atomic_write(args.out / f"{name}{args.file.suffix}") as temporary:
            temporary.write_text(part, encoding="utf-8", newline="")


if __name__ == "__main__":
    main()

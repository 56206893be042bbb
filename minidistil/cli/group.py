"""minidistil group"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minidistil.cli.embed import (
    add_encoder_arguments,
    add_text_arguments,
    numbers,
    open_encoder,
    read_texts,
    row,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

HELP = "find duplicates among texts, or put texts into groups"
EXAMPLES = """\
  minidistil group ENCODER questions.txt --duplicates 0.9
  minidistil group ENCODER reviews.csv --text-column review --clusters 20
  minidistil group ENCODER questions.txt --communities 0.75 --min-size 3 --json

Duplicates are pairs with at least this cosine, best first. Clusters are as many as asked for, and hold every
text. Communities gather around a text whatever has at least this cosine to it, the largest first; what is
near nothing is left out. In a group that which stands for it comes first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_encoder_arguments(parser)
    parser.add_argument("file", metavar="FILE", help="texts: txt, csv, tsv, jsonl, parquet; '-' is stdin")
    add_text_arguments(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--duplicates", type=float, metavar="COSINE", help="pairs that are nearly alike")
    how.add_argument("--clusters", type=int, metavar="K", help="K groups, by spherical k-means")
    how.add_argument("--communities", type=float, metavar="COSINE", help="groups around a centre")
    parser.add_argument("--min-size", type=int, default=2, metavar="N", help="least texts of a community (2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the clusters' start (0)")
    parser.add_argument("--json", action="store_true", help="one JSON object a pair, or a text")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.errors import UsageError
    from minidistil.tasks.neighbours import duplicates

    for option in ("duplicates", "communities"):
        threshold = getattr(args, option)
        if threshold is not None and not -1 <= threshold <= 1:
            raise UsageError(f"--{option} takes a cosine, from -1 to 1, not {threshold}")
    examples = read_texts(args, args.file)
    texts, lines = examples.texts, examples.lines
    if args.clusters is not None and not 1 <= args.clusters <= len(texts):
        raise UsageError(f"--clusters takes 1 to {len(texts)}, the number of texts, not {args.clusters}")
    vectors = open_encoder(args).encode(texts, quiet=args.quiet)
    if args.duplicates is not None:
        pairs, cosines = duplicates(vectors, args.duplicates)
        for (i, j), score in zip(pairs.tolist(), numbers(cosines), strict=True):
            if args.json:
                pair = {"score": score, "lines": [lines[i], lines[j]], "texts": [texts[i], texts[j]]}
                print(json.dumps(pair, ensure_ascii=False))
            else:
                print(row(score, texts[i], texts[j]))
        return 0
    for group, members, cosines in _groups(args, vectors):
        for i, score in zip(members.tolist(), numbers(cosines), strict=True):
            if args.json:
                member = {"group": group, "score": score, "line": lines[i], "text": texts[i]}
                print(json.dumps(member, ensure_ascii=False))
            else:
                print(row(group, score, texts[i]))
    return 0


def _groups(args: argparse.Namespace, vectors: npt.NDArray[np.float32]) -> Iterator[tuple[int, Any, Any]]:
    """Number, members and cosines of each group, the members by falling cosine to its middle."""
    import numpy as np

    from minidistil.tasks.clustering import cluster, communities
    from minidistil.tasks.neighbours import search

    if args.clusters is not None:
        clusters = cluster(vectors, args.clusters, seed=args.seed)
        for group in range(args.clusters):
            members = np.flatnonzero(clusters.labels == group)
            order = np.argsort(-clusters.cosines[members], kind="stable")
            yield group, members[order], clusters.cosines[members[order]]
        return
    for group, members in enumerate(communities(vectors, args.communities, min_size=args.min_size)):
        others = search(vectors[members[:1]], vectors[members[1:]], len(members))
        order = np.concatenate([members[:1], members[1:][others.indices[0]]])
        yield group, order, np.concatenate([[np.float32(1)], others.scores[0]])

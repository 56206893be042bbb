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
    tell_similarity,
    to_find,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from minidistil.embeddings.directory import Similarity

HELP = "find duplicates among texts, or put texts into groups"
EXAMPLES = """\
  minidistil group ENCODER questions.txt --duplicates 0.9
  minidistil group ENCODER reviews.csv --text-column review --clusters 20
  minidistil group ENCODER questions.txt --communities 0.75 --min-size 3 --json

Duplicates are pairs with at least this cosine, best first. Clusters are as many as asked for, and hold every
text. Communities gather around a text whatever has at least this cosine to it, the largest first; what is
near nothing is left out. In a group that which stands for it comes first. Of a model that asks for dot
products or distances, COSINE is one of these; a distance has its sign turned, so that more is nearer.
Clusters are by cosine always."""


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

    from minidistil.embeddings.search import check_threshold, duplicates
    from minidistil.errors import UsageError

    examples = read_texts(args, args.file)
    examples = examples.subset(to_find(examples))
    texts, lines, ids = examples.texts, examples.lines, examples.ids
    if args.clusters is not None and not 1 <= args.clusters <= len(texts):
        raise UsageError(f"--clusters takes 1 to {len(texts)}, the number of texts, not {args.clusters}")
    encoder = open_encoder(args)
    similarity = encoder.embedding.similarity
    for option in ("duplicates", "communities"):
        if (threshold := getattr(args, option)) is not None:
            check_threshold(threshold, similarity, f"--{option}")
            tell_similarity(encoder)
    vectors = encoder.encode(texts, quiet=args.quiet)
    if args.duplicates is not None:
        pairs, scores = duplicates(vectors, args.duplicates, similarity=similarity)
        for (i, j), score in zip(pairs.tolist(), numbers(scores), strict=True):
            if args.json:
                pair = {"score": score, "lines": [lines[i], lines[j]], "texts": [texts[i], texts[j]]}
                print(json.dumps(pair, ensure_ascii=False))
            else:
                print(row(score, texts[i], texts[j]))
        return 0
    for group, members, scores in _groups(args, vectors, similarity):
        for i, score in zip(members.tolist(), numbers(scores), strict=True):
            if args.json:
                member = {"group": group, "score": score, "line": lines[i], **ids[i], "text": texts[i]}
                print(json.dumps(member, ensure_ascii=False))
            else:
                print(row(group, score, texts[i]))
    return 0


def _groups(
    args: argparse.Namespace, vectors: npt.NDArray[np.float32], similarity: Similarity
) -> Iterator[tuple[int, Any, Any]]:
    """Number, members and scores of each group, the members by falling score with its middle."""
    import numpy as np

    from minidistil.embeddings.cluster import cluster, communities
    from minidistil.embeddings.search import search

    if args.clusters is not None:
        clusters = cluster(vectors, args.clusters, seed=args.seed)
        for group in range(args.clusters):
            members = np.flatnonzero(clusters.labels == group)
            order = np.argsort(-clusters.cosines[members], kind="stable")
            yield group, members[order], clusters.cosines[members[order]]
        return
    found = communities(vectors, args.communities, min_size=args.min_size, similarity=similarity)
    for group, members in enumerate(found):
        centre = vectors[members[:1]]
        others = search(centre, vectors[members[1:]], len(members), similarity=similarity)
        order = np.concatenate([members[:1], members[1:][others.indices[0]]])
        itself = search(centre, centre, 1, similarity=similarity)
        yield group, order, np.concatenate([itself.scores[0], others.scores[0]])

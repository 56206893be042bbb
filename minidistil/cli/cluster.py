"""minidistil cluster"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from minidistil.cli import common

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from minidistil.embeddings.similarity import Similarity

HELP = "cluster texts, or find duplicates among them"
EXAMPLES = """\
  minidistil cluster minilm questions.txt --duplicates 0.9
  minidistil cluster minilm reviews.csv --text review --clusters 20
  minidistil cluster minilm questions.txt --communities 0.75 --min-size 3 --json

Duplicates are pairs with at least this cosine, best first. Clusters are K groups that hold every text. A
community is a text and all others with at least this cosine to it; the largest comes first, and a text that
is near to no other is left out. The first text of a group stands for it. If the model asks for dot products
or distances, COSINE is one of these; a distance has its sign turned, so that more is nearer. Clusters always
go by cosine."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_encoder_arguments(parser)
    parser.add_argument("file", metavar="FILE", help="texts: txt, csv, tsv, jsonl, parquet; '-' is stdin")
    common.add_text_arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--duplicates", type=float, metavar="COSINE", help="pairs that are nearly alike")
    how.add_argument("--clusters", type=int, metavar="K", help="K groups, by spherical k-means")
    how.add_argument("--communities", type=float, metavar="COSINE", help="groups around a centre")
    parser.add_argument(
        "--min-size", type=int, default=2, metavar="N", help="fewest texts of a community (2)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the first centroids (0)")
    parser.add_argument("--json", action="store_true", help="one JSON object a pair, or a text")


def run(args: argparse.Namespace) -> int:
    from minidistil.embeddings.semantic_search import duplicates
    from minidistil.embeddings.similarity import check_threshold
    from minidistil.errors import UsageError

    if args.duplicates is None and args.clusters is None and args.communities is None:
        args.parser.error("say what to find: --clusters K, --duplicates COSINE or --communities COSINE")
    examples = common.read_texts(args, args.file)
    examples = examples.subset(common.nonempty_rows(examples))
    texts, lines, ids = examples.texts, examples.lines, examples.ids
    if args.clusters is not None and not 1 <= args.clusters <= len(texts):
        raise UsageError(f"--clusters takes 1 to {len(texts)}, the number of texts, not {args.clusters}")
    encoder = common.open_encoder(args)
    similarity = encoder.settings.similarity
    for option in ("duplicates", "communities"):
        if (threshold := getattr(args, option)) is not None:
            check_threshold(threshold, similarity, f"--{option}")
            common.log_similarity(encoder)
    vectors = encoder.encode(texts, quiet=args.quiet)
    if args.duplicates is not None:
        pairs, scores = duplicates(vectors, args.duplicates, similarity=similarity)
        for (i, j), score in zip(pairs.tolist(), common.shortest_decimals(scores), strict=True):
            if args.json:
                common.print_json(score=score, lines=[lines[i], lines[j]], texts=[texts[i], texts[j]])
            else:
                common.print_row(score, texts[i], texts[j])
        return 0
    for group, (members, scores) in enumerate(_groups(args, vectors, similarity)):
        for i, score in zip(members.tolist(), common.shortest_decimals(scores), strict=True):
            if args.json:
                common.print_json(group=group, score=score, line=lines[i], **ids[i], text=texts[i])
            else:
                common.print_row(group, score, texts[i])
    return 0


def _groups(
    args: argparse.Namespace, vectors: npt.NDArray[np.float32], similarity: Similarity
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]]:
    """Members of each group and their scores with its centre, the nearest first."""
    import numpy as np

    from minidistil.embeddings.clustering import cluster, communities
    from minidistil.embeddings.semantic_search import search

    if args.clusters is not None:
        clusters = cluster(vectors, args.clusters, seed=args.seed)
        for group in range(args.clusters):
            members = np.flatnonzero(clusters.labels == group)
            members = members[np.argsort(-clusters.cosines[members], kind="stable")]
            yield members, clusters.cosines[members]
        return
    for members in communities(vectors, args.communities, min_size=args.min_size, similarity=similarity):
        centre = vectors[members[:1]]
        others = search(centre, vectors[members[1:]], len(members), similarity=similarity)
        itself = search(centre, centre, 1, similarity=similarity)
        order = np.concatenate([members[:1], members[1:][others.indices[0]]])
        yield order, np.concatenate([itself.scores[0], others.scores[0]])

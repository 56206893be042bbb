"""minidistil search"""

from __future__ import annotations

import argparse

from minidistil.cli import common

HELP = "find the texts of a file that are nearest to a query"
EXAMPLES = """\
  minidistil search minilm "a warm, funny film" --corpus reviews.txt
  minidistil search minilm - --corpus answers.csv --text answer -k 3 --json < questions.txt
  minidistil embed minilm reviews.txt --out reviews.npy      # once, for many searches
  minidistil search minilm "a warm, funny film" --corpus reviews.txt --vectors reviews.npy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_encoder_arguments(parser)
    parser.add_argument(
        "queries", nargs="+", metavar="QUERY", help="a text; '-' reads one a line from standard input"
    )
    parser.add_argument("--corpus", required=True, metavar="FILE", help="texts to search in")
    common.add_text_arguments(parser)
    parser.add_argument("--vectors", metavar="FILE", help="vectors of the corpus, of `embed --out`")
    parser.add_argument(
        "--query-prompt", metavar="NAME_OR_TEXT", help="as --prompt, for the queries (default: the same)"
    )
    parser.add_argument(
        "-k", "--top-k", dest="k", type=int, default=5, metavar="N", help="how many to find (5)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a query")


def run(args: argparse.Namespace) -> int:
    from minidistil.embeddings.semantic_search import search
    from minidistil.embeddings.vector_files import check_format, reuse_vectors
    from minidistil.errors import UsageError
    from minidistil.text.readers import read_examples

    if args.k < 1:
        raise UsageError(f"-k must be at least 1, not {args.k}")
    if args.corpus == "-" and "-" in args.queries:
        raise UsageError("standard input holds the queries or the corpus, not both")
    queries: list[str] = []
    origins: list[dict[str, int]] = []
    for query in args.queries:
        piped = read_examples("-", format="text", empty=True) if query == "-" else None
        queries += [query] if piped is None else piped.texts
        origins += [{}] if piped is None else [{"line": line} for line in piped.lines]
    if args.vectors is not None:
        check_format(args.vectors)
    corpus = common.read_texts(args, args.corpus)
    rows = common.nonempty_rows(corpus)
    encoder = common.open_encoder(args)
    prompt = None if args.query_prompt is None else encoder.settings.named_or_text(args.query_prompt)
    common.log_similarity(encoder)
    if args.vectors is None:
        vectors = encoder.encode(corpus.texts, quiet=args.quiet)
    else:
        vectors = reuse_vectors(encoder, corpus.texts, args.vectors)
    corpus, vectors = corpus.subset(rows), vectors[rows]
    encoded = encoder.encode(queries, prompt=prompt)
    nearest = search(encoded, vectors, args.k, similarity=encoder.settings.similarity)
    for query, origin, indices, scores in zip(queries, origins, *nearest, strict=True):
        hits = [
            {"score": score, "line": corpus.lines[i], **corpus.ids[i], "text": corpus.texts[i]}
            for i, score in zip(indices.tolist(), common.shortest_decimals(scores), strict=True)
        ]
        if args.json:
            common.print_json(**origin, query=query, hits=hits)
        else:
            for hit in hits:
                common.print_row(query, hit["score"], hit["text"])
    return 0

"""minidistil search"""

from __future__ import annotations

import argparse

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

HELP = "find the texts of a file that are nearest to a query"
EXAMPLES = """\
  minidistil search ENCODER "a warm, funny film" --corpus reviews.txt
  minidistil search ENCODER - --corpus answers.csv --text-column answer -k 3 --json < questions.txt
  minidistil embed ENCODER reviews.txt --out reviews.npy      # once, for many searches
  minidistil search ENCODER "a warm, funny film" --corpus reviews.txt --vectors reviews.npy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_encoder_arguments(parser)
    parser.add_argument(
        "queries", nargs="+", metavar="QUERY", help="a text; '-' reads one a line from standard input"
    )
    parser.add_argument("--corpus", required=True, metavar="FILE", help="texts to search in")
    add_text_arguments(parser)
    parser.add_argument("--vectors", metavar="FILE", help="of the corpus, from `minidistil embed --out`")
    parser.add_argument(
        "--query-prompt", metavar="NAME_OR_TEXT", help="as --prompt, of the queries (default: the same)"
    )
    parser.add_argument("-k", type=int, default=5, metavar="N", help="how many to find (5)")
    parser.add_argument("--json", action="store_true", help="one JSON object a query")


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.embeddings.search import search
    from minidistil.embeddings.vector_files import check_format, known_vectors
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
    corpus = read_texts(args, args.corpus)
    places = to_find(corpus)
    encoder = open_encoder(args)
    prompt = None if args.query_prompt is None else encoder.embedding.named_or_text(args.query_prompt)
    tell_similarity(encoder)
    if args.vectors is None:
        vectors = encoder.encode(corpus.texts, quiet=args.quiet)
    else:
        vectors = known_vectors(encoder, corpus.texts, args.vectors)
    corpus, vectors = corpus.subset(places), vectors[places]
    asked = encoder.encode(queries, prompt=prompt)
    indices, scores = search(asked, vectors, args.k, similarity=encoder.embedding.similarity)
    for query, origin, found, near in zip(queries, origins, indices.tolist(), scores, strict=True):
        hits = [
            {"score": score, "line": corpus.lines[i], **corpus.ids[i], "text": corpus.texts[i]}
            for i, score in zip(found, numbers(near), strict=True)
        ]
        if args.json:
            print(json.dumps({**origin, "query": query, "hits": hits}, ensure_ascii=False))
        else:
            for hit in hits:
                print(row(query, hit["score"], hit["text"]))
    return 0

"""minidistil embed"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.embeddings.encoder import SentenceEncoder
    from minidistil.text.readers import Examples

HELP = "turn texts into vectors"
EXAMPLES = """\
  minidistil embed ENCODER sentences.txt --out vectors.npy
  minidistil embed ENCODER reviews.csv --text-column review --out vectors.safetensors
  echo "a warm, funny film" | minidistil embed ENCODER - --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_encoder_arguments(parser)
    parser.add_argument("file", metavar="FILE", help="texts: txt, csv, tsv, jsonl, parquet; '-' is stdin")
    add_text_arguments(parser)
    out = parser.add_mutually_exclusive_group(required=True)
    out.add_argument("--out", metavar="FILE", help=".npy or .safetensors: a row for each text, in order")
    out.add_argument("--json", action="store_true", help="print one JSON object a line")
    parser.add_argument(
        "--pooling",
        type=_pooling,
        metavar="KIND",
        help="mean, cls, max, mean_sqrt_len_tokens, weightedmean, lasttoken, or several such as cls+mean "
        "(default: what the model says)",
    )
    parser.add_argument(
        "--no-normalize",
        dest="normalize",
        action="store_const",
        const=False,
        help="leave vectors as long as they are (default: what the model says)",
    )


def _pooling(value: str) -> str:
    """A pooling, for argparse."""
    from minidistil.errors import UsageError
    from minidistil.ops.pooling import pooling_kinds

    try:
        return "+".join(pooling_kinds(value))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and how it runs."""
    parser.add_argument(
        "model", help="directory or hub id of an encoder; sentence-transformers files are followed"
    )
    parser.add_argument("--max-length", type=int, metavar="N", help="cut texts after so many tokens")
    parser.add_argument(
        "--prompt",
        metavar="NAME_OR_TEXT",
        help="put this before every text: a prompt of the model by its name, or a text, '' for none "
        "(default: the model's default prompt, if it has one)",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """How files of texts are read."""
    parser.add_argument("--text-column", metavar="NAME", help="the column that holds the text")
    parser.add_argument("--format", metavar="NAME", help="csv, tsv, jsonl, parquet or text, if not as named")
    parser.add_argument(
        "--no-header", action="store_true", help="the first line of a csv or tsv names no columns"
    )


def open_encoder(args: argparse.Namespace, **options: Any) -> SentenceEncoder:
    """The encoder as asked for; a line says so if it compares by something else than cosines."""
    from minidistil.embeddings.encoder import SentenceEncoder

    if args.max_length is not None:
        options["max_length"] = args.max_length
    encoder = SentenceEncoder.from_pretrained(args.model, backend=args.backend, mapped=True, **options)
    if args.prompt is not None:
        encoder.embedding = encoder.embedding.with_prompt(encoder.embedding.named_or_text(args.prompt))
    return encoder


def tell_similarity(encoder: SentenceEncoder) -> None:
    """Say what scores are, if they are no cosines."""
    import logging

    scores = {
        "dot": "dot products",
        "euclidean": "Euclidean distances with their sign turned",
        "manhattan": "Manhattan distances with their sign turned",
    }
    if (similarity := encoder.embedding.similarity) in scores:
        logging.getLogger("minidistil").info("scores are %s, as the model asks for", scores[similarity])


def read_texts(args: argparse.Namespace, path: str) -> Examples:
    """Texts of a file, one for each line or row: an empty one is a text, too."""
    from minidistil.text.readers import IDS, read_examples

    return read_examples(
        path, text=args.text_column, format=args.format, header=not args.no_header,
        empty=True, usual_labels=(), usual_ids=IDS,
    )  # fmt: skip


def to_find(examples: Examples) -> list[int]:
    """Places of the texts that may be found among others: those that are not empty.

    Raises
    ------
    DataError
        There are none.
    """
    from minidistil.errors import DataError

    places = [i for i, text in enumerate(examples.texts) if text.strip()]
    if not places:
        raise DataError("there are no texts in it", path=examples.path)
    return places


def numbers(values: Any) -> list[float]:
    """For JSON: the shortest decimals that are these float32."""
    return [float(str(value)) for value in values]


def row(*cells: object) -> str:
    """A line of cells between tabs; scores with four decimals, line breaks and tabs of a text as spaces."""
    return "\t".join(f"{c:.4f}" if isinstance(c, float) else " ".join(str(c).split()) for c in cells)


def run(args: argparse.Namespace) -> int:
    import json

    from minidistil.embeddings.vector_files import check_format, write_vectors

    if args.out:
        check_format(args.out)  # before the work
    examples = read_texts(args, args.file)
    chosen = {"pooling": args.pooling, "normalize": args.normalize}
    encoder = open_encoder(args, **{name: value for name, value in chosen.items() if value is not None})
    vectors = encoder.encode(examples.texts, quiet=args.quiet)
    if args.out:
        write_vectors(args.out, vectors, examples.texts)
        return 0
    for line, called, text, vector in zip(examples.lines, examples.ids, examples.texts, vectors, strict=True):
        facts = {"line": line, **called, "text": text, "vector": numbers(vector)}
        print(json.dumps(facts, ensure_ascii=False))
    return 0

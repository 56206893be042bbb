"""Arguments, input and output that several verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.embeddings.encoder import SentenceEncoder
    from minidistil.text.readers import Examples


CORPUS: dict[str, Any] = {
    "nargs": "+",
    "metavar": "PATH",
    "help": "files or folders of text (a document a line) or JSONL, .gz too",
}


def add_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sentence encoder, its prompt and its backend."""
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
    """Add the options that say how files of texts are read."""
    parser.add_argument("--text-column", metavar="NAME", help="the column that holds the text")
    parser.add_argument("--format", metavar="NAME", help="csv, tsv, jsonl, parquet or text, if not as named")
    parser.add_argument(
        "--no-header", action="store_true", help="the first line of a csv or tsv names no columns"
    )


def open_encoder(args: argparse.Namespace, **options: Any) -> SentenceEncoder:
    """Load the encoder of `add_encoder_arguments`."""
    from minidistil.embeddings.encoder import SentenceEncoder

    if args.max_length is not None:
        options["max_length"] = args.max_length
    encoder = SentenceEncoder.from_pretrained(args.model, backend=args.backend, mapped=True, **options)
    if args.prompt is not None:
        encoder.settings = encoder.settings.with_prompt(encoder.settings.named_or_text(args.prompt))
    return encoder


def log_similarity(encoder: SentenceEncoder) -> None:
    """Log the kind of the scores, unless they are cosines."""
    import logging

    scores = {
        "dot": "dot products",
        "euclidean": "Euclidean distances with their sign turned",
        "manhattan": "Manhattan distances with their sign turned",
    }
    if (similarity := encoder.settings.similarity) in scores:
        logging.getLogger("minidistil").info("scores are %s, as the model asks for", scores[similarity])


def read_texts(args: argparse.Namespace, path: str) -> Examples:
    """Read a text from each line or row of a file; an empty one is a text, too."""
    from minidistil.text.readers import IDS, read_examples

    return read_examples(
        path, text=args.text_column, format=args.format, header=not args.no_header,
        empty=True, usual_labels=(), usual_ids=IDS,
    )  # fmt: skip


def nonempty_rows(examples: Examples) -> list[int]:
    """Rows of the texts that are not empty: the ones that a search may find.

    Raises
    ------
    DataError
        There are none.
    """
    from minidistil.errors import DataError

    rows = [i for i, text in enumerate(examples.texts) if text.strip()]
    if not rows:
        raise DataError("there are no texts in it", path=examples.path)
    return rows


def print_json(**values: object) -> None:
    """Print an object on a line of its own."""
    import json

    print(json.dumps(values, ensure_ascii=False))


def shortest_decimals(values: Any) -> list[float]:
    """Shortest decimals that round to these float32 numbers, for JSON."""
    return [float(str(value)) for value in values]


def print_row(*cells: object) -> None:
    """Print cells between tabs: scores with four decimals, line breaks and tabs of a text as spaces."""
    print("\t".join(f"{c:.4f}" if isinstance(c, float) else " ".join(str(c).split()) for c in cells))


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe and the directory of a job."""
    add_recipe_arguments(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="started again with it, a run goes on")
    parser.add_argument("--print-recipe", action="store_true", help="print the resolved settings, and stop")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_recipe_arguments(parser: Any) -> None:
    """Add the sources of a recipe's settings."""
    parser.add_argument("--recipe", metavar="NAME", help="settings that come with the package")
    parser.add_argument("--config", metavar="FILE", help="settings of your own, a TOML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, such as train.lr=3e-4"
    )


def carry_out(args: argparse.Namespace, job: Any, table: Callable[[Mapping[str, Any]], str]) -> int:
    """Run a job and print its report, or print its recipe."""
    import json

    from minidistil.settings import dump

    if args.print_recipe:
        print(dump(job.recipe), end="")
        return 0
    report = job.run()
    print(json.dumps(report) if args.json else table(report))
    return 0


def weight_of_term(term: str) -> tuple[str, float]:
    """Name and weight of `--term NAME=WEIGHT`; the weight is 1 if it is not given."""
    from minidistil.errors import UsageError

    name, equals, weight = term.partition("=")
    try:
        return name, float(weight) if equals else 1.0
    except ValueError:
        raise UsageError(f"--term {term}: expected NAME=WEIGHT, a number") from None

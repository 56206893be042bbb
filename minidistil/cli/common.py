"""Arguments, input and output that several verbs share."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from minidistil.cli.streams import as_utf_8

if TYPE_CHECKING:
    from minidistil.embeddings.encoder import SentenceEncoder
    from minidistil.text.readers import Examples


log = logging.getLogger("minidistil")

TEXTS: dict[str, Any] = {
    "nargs": "*",
    "default": [],
    "metavar": "TEXT",
    "help": "a text; '-', or none, reads one a line from standard input",
}
CORPUS: dict[str, Any] = {
    "nargs": "+",
    "metavar": "PATH",
    "help": "files or folders of text (a document a line) or JSONL, .gz too",
}


def add_encoder_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sentence encoder, its prompt and its backend."""
    parser.add_argument(
        "model",
        help="directory, name (minilm) or hub id of an encoder; sentence-transformers files are followed",
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
    parser.add_argument(
        "--text", "--text-column", dest="text_column", metavar="NAME", help="column of the text"
    )
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
    scores = {
        "dot": "dot products",
        "euclidean": "Euclidean distances with their sign turned",
        "manhattan": "Manhattan distances with their sign turned",
    }
    if (similarity := encoder.settings.similarity) in scores:
        log.info("scores are %s, as the model asks for", scores[similarity])


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
    add_print_recipe(parser)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def add_recipe_arguments(parser: Any) -> None:
    """Add the sources of a recipe's settings."""
    parser.add_argument("--recipe", metavar="NAME", help="settings that come with the package")
    parser.add_argument("--config", metavar="FILE", help="settings of your own, a TOML file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, such as train.lr=3e-4"
    )


class _PrintRecipe(argparse.Action):
    """Set the flag, and ask for no files: only a run needs them."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, True)
        parts: list[Any] = [*parser._actions, *parser._mutually_exclusive_groups]
        for part in parts:
            part.required = False


def add_print_recipe(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints the settings in place of running."""
    parser.add_argument(
        "--print-recipe",
        action=_PrintRecipe,
        nargs=0,
        default=False,
        help="print all settings with their meaning, as a file for --config, and stop; no files are needed",
    )


class _Short(argparse.Action):
    """Put KEY=VALUE behind what --set has, so that the later of both wins."""

    def __init__(self, *args: Any, setting: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._setting = setting

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from minidistil.settings import literal

        setattr(namespace, self.dest, values)
        if isinstance(values, str):
            values = as_utf_8(values)
            values = int(values) if values.isdecimal() else values  # a column by its number
        namespace.set = [*namespace.set, f"{self._setting}={literal(values)}"]


TRAINING = {name: f"train.{name}" for name in ("max_steps", "epochs", "batch_size", "lr", "seed")}
LENGTH = {"max_length": "data.max_length"}
COLUMNS = {name: f"data.{name}" for name in ("text", "pair", "label")}


def add_short_options(parser: argparse.ArgumentParser, settings: Mapping[str, str]) -> None:
    """Add options for settings, by the name of each: `--max-length N` is `--set data.max_length=N`."""
    for name, setting in settings.items():
        option = f"--{name.replace('_', '-')}"
        column = name in COLUMNS
        parser.add_argument(
            *([option, f"{option}-column"] if column else [option]),
            action=_Short,
            setting=setting,
            type=str if column else float if name == "lr" else int,
            metavar="NAME" if column else "X" if name == "lr" else "N",
            help=f"short for --set {setting}=...",
        )


def print_recipe(recipe: Any, task: str | None = None) -> int:
    """Print a recipe with the meaning of each setting; returns the exit code."""
    from minidistil.jobs.job_settings import commented

    print(commented(recipe, task), end="")
    return 0


def run_or_read(job: Any) -> dict[str, Any]:
    """Run a job, or read the report of a run that has finished."""
    report: dict[str, Any] | None = job.finished()
    if report is None:
        return dict(job.run())
    log.info("%s: this run has finished before; its report is read", job.out)
    return report


def carry_out(args: argparse.Namespace, job: Any, table: Callable[[Mapping[str, Any]], str]) -> int:
    """Run a job, or read its report, and print that; returns the exit code."""
    import json

    report = run_or_read(job)
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

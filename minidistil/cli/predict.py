"""minidistil predict"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from minidistil.cli.predict_options import OPTIONS, SETUP
from minidistil.cli.predict_options import add_arguments as add_arguments
from minidistil.cli.predict_options import spelt_out as spelt_out
from minidistil.errors import DataError, InputError, MinidistilError, UsageError
from minidistil.streams import is_terminal, say

if TYPE_CHECKING:
    from contextlib import ExitStack

    from minidistil.cli.prediction_files import Writer
    from minidistil.report.attention import AttentionMaps
    from minidistil.tasks.base import PredictingTask, Predictor
    from minidistil.tasks.inputs import Input, Shown

HELP = "label, tag, answer, fill in, choose, summarise, or find the nearest entry"
EXAMPLES = """\
  minidistil predict runs/demo/student "a warm, funny, engaging film"
  cat sentences.txt | minidistil predict runs/demo/student --json
  minidistil predict runs/spam --data mails.csv --text body --out labels.csv
  minidistil predict runs/entities "Ada Lovelace was born in London"
  minidistil predict runs/squad --question "Where was she born?" "Ada Lovelace was born in London"
  minidistil predict runs/masked-lm "Paris is the [MASK] of France." --top-k 5 --targets capital city
  minidistil predict runs/swag "She opened the door" --choices "and walked in." "and ate it."
  minidistil predict minilm --task summarization --document report.txt --sentences 5
  minidistil predict minilm --task faq --entries faq.jsonl "how do I return it?"
  minidistil predict minilm --task intents --entries intents.jsonl --threshold 0.5 "where is my parcel?"
  minidistil predict runs/demo/student "a warm film" --html film.html --attention 2 5
  minidistil predict runs/demo/student "a warm film" --html film.html --attention all
  minidistil predict runs/demo/student                 # on a terminal: a text a line, until Ctrl-D

What is done follows from the model's head, or from --task. An entity comes with its type, its score and its
characters in the text, from and up to; an answer with its score and its characters in the context; a masked
word with its probability and the text filled in. To choose without --choices, each text is a JSON object
with "context" and "choices". A summary is sentences of the text, one a line; a text to be summarised is a
document: standard input is one, whatever its lines. For faq and intents the model is any encoder, and the
answer that of the nearest entry, or "none" below the threshold.

--out writes a table with a header: every column of --data, and beside them what was predicted, a row a text;
entities, words for masks and the labels of --top-k have a row each. A predicted column whose name the file
has already begins with "predicted_". A .jsonl file has all that --json prints, and each row whole."""

TEXTS_AT_ONCE = 4096  # enough to sort by length, few enough that long input is answered as it comes


def run(args: argparse.Namespace) -> int:
    from contextlib import ExitStack
    from pathlib import Path

    from minidistil.tasks.training_settings import TrainingRecord

    _check(args)
    page = None
    if args.html is not None:
        from minidistil.report.page import Page

        page = Page("predictions.html", args.templates)
    predictor = _predictor(args)
    task, options = predictor.task, _options(args, predictor)
    args.learnt_columns = TrainingRecord.of(predictor.model.config).columns or {}
    args.keep_rows, args.columns = args.out is not None, []
    results: list[tuple[dict[str, Any], dict[str, Any] | AttentionMaps | None]] = []

    def answer(some: Sequence[Input], write: Writer) -> None:
        pairs = [given.pair for given in some if given.pair is not None]
        more = {"pairs": pairs} if pairs else {}
        answers = task.show(predictor, [given.text for given in some], **more, **options)
        for given, shown in zip(some, answers, strict=True):
            write(given, shown)
            if page is not None:
                results.append((shown.facts, _attention(args, predictor, shown.facts)))
        sys.stdout.flush()

    with ExitStack() as stack:
        write: Writer | None = None
        for some in _inputs(args, task):
            write = write or _writer(args, task, stack)  # not before there is something to answer
            try:
                answer(some, write)
            except MinidistilError as error:
                located = _on_its_line(error, some, args.data)
                if not _are_typed(args, task):
                    raise located from error.__cause__ if located is error else error
                say(f"minidistil predict: {located}")  # the next line may be better
    if page is not None:
        from minidistil.report.page import write_page

        title = f"{Path(args.model).resolve().name}: predictions of minidistil"
        interactive = args.attention is not None and None in args.attention
        html = page.render(title=title, task=task.template, results=results, interactive=interactive)
        write_page(args.html, html)
    return 0


def _writer(args: argparse.Namespace, task: PredictingTask, stack: ExitStack) -> Writer:
    """Writer of answers: to a file, as JSON, or as lines for people."""
    from minidistil.cli.common import print_json, print_row
    from minidistil.cli.prediction_files import prediction_file

    if args.out is not None:
        return stack.enter_context(prediction_file(args.out, args.columns))
    if args.json:
        return lambda given, shown: print_json(**{**given.origin, **shown.facts})
    blank = False  # before the next document

    def write(given: Input, shown: Shown) -> None:
        nonlocal blank
        if blank:
            print()
        blank = task.whole_documents
        for cells in shown.rows:
            print_row(*cells)

    return write


def _check(args: argparse.Namespace) -> None:
    """Raise a UsageError for texts from two places, or options that contradict each other."""
    if sum(map(bool, (args.texts, args.document, args.data))) > 1:
        raise UsageError("texts come as arguments, or from --document, or from --data: take one of them")
    if args.data is None and (args.text_column or args.pair_column or args.format or args.no_header):
        raise UsageError(
            "--text, --pair-column, --format and --no-header say how --data is read; "
            "a text itself needs no option"
        )
    if args.pair is not None and args.pair_column is not None:
        raise UsageError("the second text is --pair or in --pair-column, not both")
    if args.attention is not None and (args.attention.count(None) == 1):
        raise UsageError("--attention takes a layer and a head, or all")
    if args.out is not None:
        from minidistil.cli.prediction_files import format_of

        format_of(args.out)  # before the work
        if args.json:
            raise UsageError(
                "--json prints and --out writes: take one; --out FILE.jsonl has what --json prints"
            )
    if args.top_k is not None and args.top_k < 1:
        raise UsageError(f"--top-k must be at least 1, not {args.top_k}")
    for name in ("attention", "templates"):
        if getattr(args, name) is not None and args.html is None:
            raise UsageError(f"--{name} is part of a page: say --html FILE")


def _are_typed(args: argparse.Namespace, task: PredictingTask) -> bool:
    """True if texts are lines typed at a terminal."""
    given = args.document or args.data is not None or args.texts
    return not (given or task.whole_documents) and is_terminal(sys.stdin)


def _inputs(args: argparse.Namespace, task: PredictingTask) -> Iterator[list[Input]]:
    """Texts for a task, some at a time; an empty one is a text, and so is a blank line."""
    from minidistil.tasks.inputs import Input

    if args.document:
        for path in args.document:  # one at a time: they may be long
            yield [Input(_whole_file(path), args.pair, {"document": path})]
    elif _are_typed(args, task):
        yield from _typed(args)
    else:
        of_file = task.read_inputs(args) if args.data is not None else []
        args.columns = list(dict.fromkeys(column for given in of_file for column in given.row))
        found = iter(of_file if args.data is not None else _of_arguments(args, task))
        first = True
        while some := list(islice(found, TEXTS_AT_ONCE)):
            if first and args.data is None:
                task.check_lines(given.text for given in some if "line" in given.origin)
            first = False
            yield some


def _of_arguments(args: argparse.Namespace, task: PredictingTask) -> Iterator[Input]:
    """Texts of the command line, and lines of standard input as they come."""
    from minidistil.tasks.inputs import Input
    from minidistil.text.sources import STDIN, shown_name
    from minidistil.text.tables import read_rows

    for text in args.texts or [STDIN]:
        if text != STDIN:
            yield Input(text, args.pair)
        elif task.whole_documents:
            if is_terminal(sys.stdin) and not args.quiet:
                say("One document; Ctrl-D ends.")
            yield Input(_whole_file(STDIN), args.pair)
        else:
            line = 0
            for line, row in read_rows(STDIN, format="text", blank=True):
                yield Input(row["text"], args.pair, {"line": line})
            if not line:
                raise DataError("there is no text in it", path=shown_name(STDIN))


def _whole_file(path: str) -> str:
    """Read a whole file as one text."""
    from minidistil.text.sources import read_text, shown_name

    text = read_text(path)
    if not text.strip():
        raise DataError("there is no text in it", path=shown_name(path))
    return text


def _typed(args: argparse.Namespace) -> Iterator[list[Input]]:
    """Lines from a terminal, until it ends."""
    from minidistil.tasks.inputs import Input

    if not args.quiet:
        say("One text a line; Ctrl-D ends.")
    while True:
        if not args.quiet:
            say("> ", end="")  # what is answered may go to a file
        try:
            line = input()
        except EOFError:
            if not args.quiet:
                say("")
            return
        if line.strip():
            yield [Input(line, args.pair)]


def _predictor(args: argparse.Namespace) -> Predictor:
    """Predictor of the task in `--task`, else of the model's head."""
    from minidistil.cli.common import log_similarity
    from minidistil.tasks.base import load
    from minidistil.tasks.registry import predicting_task, task_of
    from minidistil.weights.hub import resolve

    setup = {name: getattr(args, name) for name in SETUP if getattr(args, name) is not None}
    loading = {"backend": args.backend, "mapped": True}
    if args.task is None:
        _check_setup(setup.keys() & {"entries", "vectors", "answers", "prompt"}, ())  # which no head asks for
        model, tokenizer = load(args.model, **loading)
        kind = task_of(model)
        _check_setup(setup, kind.setup)
        return kind.bind(model, tokenizer, **setup)
    named = predicting_task(args.task)
    _check_setup(setup, named.setup)
    if args.prompt is not None:
        from minidistil.embeddings.directory import read_settings

        setup["prompt"] = read_settings(resolve(args.model)).named_or_text(args.prompt)
    predictor = named.open(args.model, **loading, **setup)
    if args.entries is not None:
        log_similarity(predictor.encoder)  # type: ignore[attr-defined]
    return predictor


def _check_setup(given: Iterable[str], taken: Collection[str]) -> None:
    """Raise a UsageError for an option that the predictor is not made with."""
    from minidistil.tasks.registry import PREDICTED, predicting_task

    for option in set(given) - set(taken):
        having = [name for name in PREDICTED if option in predicting_task(name).setup]
        raise UsageError(f"--{option.replace('_', '-')} goes with --task {' or '.join(having)}")


def _options(args: argparse.Namespace, predictor: Predictor) -> dict[str, Any]:
    """Options of answering on the command line.

    Raises
    ------
    UsageError
        One that means nothing to the task, or one that is missing.
    """
    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    task, name = predictor.task, type(predictor.model).__name__
    for option in given.keys() - set(task.options):
        raise UsageError(f"{name} does not take --{option.replace('_', '-')}")
    for option in task.required:
        if option not in given and args.data is None:
            raise UsageError(f"{name} needs --{option.replace('_', '-')}")
    return {name: value for name, value in given.items() if name not in ("pair", "pair_column")}


def _on_its_line(error: MinidistilError, some: Sequence[Input], file: str | None) -> MinidistilError:
    """The error with the line of its text, if texts have lines."""
    from minidistil.text.sources import STDIN, shown_name

    index = error.index if isinstance(error, InputError) else None
    where = {} if index is None else some[index].origin
    if "line" not in where:
        return error
    return DataError(str(error), path=shown_name(file or STDIN), line=where["line"])


def _attention(
    args: argparse.Namespace, predictor: Predictor, facts: Mapping[str, Any]
) -> dict[str, Any] | AttentionMaps | None:
    """Attention of one head, or of all, within one text, for a page."""
    from minidistil.report.attention import attention_map, attention_maps

    if args.attention is None:
        return None
    if "question" in facts:
        first, second = facts["question"], facts["context"]
    else:
        first, second = facts.get("text", facts.get("context")), facts.get("pair")
    layer, head = args.attention
    if layer is None:
        return attention_maps(predictor.model, predictor.tokenizer, first, second)
    return attention_map(predictor.model, predictor.tokenizer, first, second, layer=layer, head=head)

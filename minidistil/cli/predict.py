"""minidistil predict"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minidistil.cli.inputs import add_input_arguments
from minidistil.streams import say

if TYPE_CHECKING:
    from minidistil.errors import MinidistilError
    from minidistil.tasks.base import Predictor
    from minidistil.tasks.inputs import Input

HELP = "label, tag, answer, fill in, choose, summarise, or find the nearest entry"
EXAMPLES = """\
  minidistil predict runs/demo/student "a warm, funny, engaging film"
  cat sentences.txt | minidistil predict runs/demo/student --json
  minidistil predict runs/spam --data mails.csv --text-column body --json > labels.jsonl
  minidistil predict runs/entities "Ada Lovelace was born in London"
  minidistil predict runs/squad --question "Where was she born?" "Ada Lovelace was born in London"
  minidistil predict runs/masked-lm "Paris is the [MASK] of France." --top-k 5 --targets capital city
  minidistil predict runs/swag "She opened the door" --choices "and walked in." "and ate it."
  minidistil predict ENCODER --task summarization --document report.txt --sentences 5
  minidistil predict ENCODER --task faq --entries faq.jsonl "how do I return it?"
  minidistil predict ENCODER --task intents --entries intents.jsonl --threshold 0.5 "where is my parcel?"
  minidistil predict runs/demo/student "a warm film" --html film.html --attention 2 5
  minidistil predict runs/demo/student                 # on a terminal: a text a line, until Ctrl-D

What is done follows from the model's head, or from --task. An entity comes with its type, its score and its
characters in the text, from and up to; an answer with its score and its characters in the context; a masked
word with its probability and the text filled in. To choose without --choices, each text is a JSON object
with "context" and "choices". A summary is sentences of the text, one a line; a text to be summarised is a
document: standard input is one, whatever its lines. For faq and intents the model is any encoder, and the
answer that of the nearest entry, or "none" below the threshold."""

# Options of answering, and of making a predictor: those that only some tasks take.
OPTIONS = (
    *("question", "n_best", "null_threshold", "aggregation", "no_truncation", "pair", "pair_column"),
    *("top_k", "threshold", "targets", "choices"),
    *("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams"),
)
SETUP = ("entries", "vectors", "answers", "prompt", "max_length", "scheme")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a model directory or hub id")
    add_input_arguments(parser)
    parser.add_argument("--task", metavar="NAME", help="what to do, if not what the model's head is for")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, with every score")
    parser.add_argument(
        "--html", metavar="FILE", help="also write a page that shows what was found, and where"
    )
    parser.add_argument("--templates", metavar="DIR", help="with --html: templates of your own")
    parser.add_argument(
        "--attention",
        nargs=2,
        type=int,
        metavar=("LAYER", "HEAD"),
        help="with --html: what this head looks at in each text; counted from 0",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="tokens that are read at once (what the model learnt with)",
    )
    parser.add_argument("--backend", choices=("numba", "numpy"), default="numba")
    _add_task_options(parser)


def _add_task_options(parser: argparse.ArgumentParser) -> None:
    """By kind of model."""
    labels = parser.add_argument_group("labels, masked words, intents, questions asked before")
    labels.add_argument("--top-k", type=int, metavar="N", help="the N likeliest, with their scores")
    labels.add_argument(
        "--threshold",
        type=float,
        metavar="X",
        help='least score of a label, else "none" (many labels: 0.5; intents: what was learnt)',
    )
    labels.add_argument(
        "--no-truncation",
        action="store_const",
        const=True,
        help="refuse texts longer than the model takes, instead of cutting",
    )
    labels.add_argument("--targets", nargs="+", metavar="WORD", help="compare these words alone for a mask")
    labels.add_argument("--choices", nargs="+", metavar="TEXT", help="which of these goes with each text?")
    labels.add_argument("--entries", metavar="FILE", help="of faq and intents: the examples to compare with")
    labels.add_argument("--vectors", metavar="FILE", help="of the entries, from `minidistil embed --out`")
    labels.add_argument(
        "--answers", action="store_const", const=True, help="of faq: compare with the answers, too"
    )
    labels.add_argument(
        "--prompt",
        metavar="NAME_OR_TEXT",
        help="of faq and intents: put this before every text, as `minidistil embed` does",
    )
    spans = parser.add_argument_group("entities and answers")
    spans.add_argument(
        "--aggregation",
        choices=("none", "simple", "first", "average", "max", "whitespace"),
        help="how pieces of words make entities (first: the first piece decides for its word; whitespace: "
        "words as files of words have them; by default what was learnt)",
    )
    spans.add_argument(
        "--scheme",
        choices=("IOB1", "IOB2", "BIOES", "BILOU", "plain"),
        help="how the model's tags mark where an entity begins and ends (guessed from all of them)",
    )
    spans.add_argument("--question", metavar="TEXT", help="to be answered from each of the texts")
    spans.add_argument("--n-best", type=int, metavar="N", help="answers to a question (1)")
    spans.add_argument(
        "--null-threshold",
        type=float,
        metavar="X",
        help="answer nothing if that scores better than the best answer by more than this",
    )
    summary = parser.add_argument_group("summaries")
    summary.add_argument("--sentences", type=int, metavar="N", help="at most so many (3)")
    summary.add_argument("--words", type=int, metavar="N", help="at most so many")
    summary.add_argument(
        "--method",
        choices=("trained", "centroid", "mmr", "lead"),
        help="how sentences are chosen (trained where the model has learnt it, else mmr)",
    )
    summary.add_argument("--unit", choices=("sentence", "line"), help="lines keep a dialogue's turns whole")
    summary.add_argument("--mmr-lambda", type=float, metavar="X", help="relevance against repetition (0.7)")
    summary.add_argument(
        "--block-trigrams", action="store_const", const=True, help="trained: no three words in a row twice"
    )


def run(args: argparse.Namespace) -> int:
    import json
    from pathlib import Path

    from minidistil.cli.common import print_row
    from minidistil.cli.inputs import are_typed, check_inputs, inputs
    from minidistil.errors import MinidistilError
    from minidistil.files import atomic_write
    from minidistil.tasks.training_settings import Learnt

    check_inputs(args)
    page = None
    if args.html is not None:
        from minidistil.report.page import Page

        page = Page("predictions.html", args.templates)
    predictor = _predictor(args)
    task, options = predictor.task, _options(args, predictor)
    args.learnt_columns = Learnt.of(predictor.model.config).columns or {}
    results: list[tuple[dict[str, Any], dict[str, Any] | None]] = []
    blank = False  # before the next document

    def answer(some: Sequence[Input]) -> None:
        nonlocal blank
        pairs = [given.pair for given in some if given.pair is not None]
        more = {"pairs": pairs} if pairs else {}
        answers = task.show(predictor, [given.text for given in some], **more, **options)
        for given, shown in zip(some, answers, strict=True):
            if args.json:
                print(json.dumps({**given.origin, **shown.facts}, ensure_ascii=False))
            else:
                if blank:
                    print()
                blank = task.whole_documents
                for cells in shown.rows:
                    print_row(*cells)
            if page is not None:
                results.append((shown.facts, _attention(args, predictor, shown.facts)))
        sys.stdout.flush()

    for some in inputs(args, task):
        try:
            answer(some)
        except MinidistilError as error:
            located = _on_its_line(error, some, args.data)
            if not are_typed(args, task):
                raise located from error.__cause__ if located is error else error
            say(f"minidistil predict: {located}")  # the next line may be better
    if page is not None:
        title = f"{Path(args.model).resolve().name}: predictions of minidistil"
        html = page.render(title=title, task=task.template, results=results)
        with atomic_write(args.html) as temporary:
            temporary.write_text(html, encoding="utf-8")
    return 0


def _predictor(args: argparse.Namespace) -> Predictor:
    """The predictor of the task that is asked for, or that the model's head is for."""
    from minidistil.cli.common import log_similarity
    from minidistil.embeddings.directory import read_settings
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
        setup["prompt"] = read_settings(resolve(args.model)).named_or_text(args.prompt)
    predictor = named.open(args.model, **loading, **setup)
    if args.entries is not None:
        log_similarity(predictor.encoder)  # type: ignore[attr-defined]
    return predictor


def _check_setup(given: Iterable[str], taken: Collection[str]) -> None:
    """A UsageError for an option that a predictor is not made with."""
    from minidistil.errors import UsageError
    from minidistil.tasks.registry import PREDICTED, predicting_task

    for option in set(given) - set(taken):
        having = [name for name in PREDICTED if option in predicting_task(name).setup]
        raise UsageError(f"--{option.replace('_', '-')} goes with --task {' or '.join(having)}")


def _options(args: argparse.Namespace, predictor: Predictor) -> dict[str, Any]:
    """Options of answering that were given.

    Raises
    ------
    UsageError
        One that means nothing to the task, or one that is missing.
    """
    from minidistil.errors import UsageError

    given = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    task, name = predictor.task, type(predictor.model).__name__
    for option in given.keys() - set(task.options):
        raise UsageError(f"{name} does not take --{option.replace('_', '-')}")
    for option in task.required:
        if option not in given and args.data is None:
            raise UsageError(f"{name} needs --{option.replace('_', '-')}")
    return {name: value for name, value in given.items() if name not in ("pair", "pair_column")}


def _on_its_line(error: MinidistilError, some: Sequence[Input], file: str | None) -> MinidistilError:
    """The error, with the line of the text that it is about if texts have lines."""
    from minidistil.errors import DataError, InputError
    from minidistil.text.sources import STDIN, shown_name

    index = error.index if isinstance(error, InputError) else None
    where = {} if index is None else some[index].origin
    if "line" not in where:
        return error
    return DataError(str(error), path=shown_name(file or STDIN), line=where["line"])


def _attention(
    args: argparse.Namespace, predictor: Predictor, facts: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The attention asked for in one text, as part of a page."""
    from minidistil.report.attention import attention_map

    if args.attention is None:
        return None
    layer, head = args.attention
    if "question" in facts:
        first, second = facts["question"], facts["context"]
    else:
        first, second = facts.get("text", facts.get("context")), facts.get("pair")
    return attention_map(predictor.model, predictor.tokenizer, first, second, layer=layer, head=head)

"""What `minidistil predict` prints: for each kind of predictor, its options and its lines."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from minidistil.cli.common import log_similarity
from minidistil.cli.inputs import (
    Input,
    read_choices,
    read_contexts,
    read_documents,
    read_pairs,
    read_sentences,
    read_texts,
)
from minidistil.embeddings.directory import read_settings
from minidistil.errors import UsageError
from minidistil.pipelines import Pipeline, pipeline_class, pipeline_for
from minidistil.tasks.intents.predictor import Nearest
from minidistil.tasks.predictor import load
from minidistil.text.json_text import json_object
from minidistil.weights.hub import resolve

if TYPE_CHECKING:
    from minidistil.pipelines import (
        Faq,
        FillMask,
        Intents,
        MultipleChoice,
        QuestionAnswering,
        Summarization,
        TextClassification,
        TokenClassification,
    )
    from minidistil.tasks.multiple_choice.swag import ChoiceRow


class Shown(NamedTuple):
    """One result.

    Attributes
    ----------
    rows : list of list
        Lines for people, each of cells.
    facts : dict
        The object for programs.
    """

    rows: list[list[object]]
    facts: dict[str, Any]


class Kind(NamedTuple):
    """How one kind of predictor is shown.

    Attributes
    ----------
    show : callable
        From the predictor, texts and options to a result for each text.
    options : tuple of str
        Options of the command line that mean something to it.
    needs : tuple of str
        Those of them that it cannot do without.
    whole : bool
        Whether a text is a document: standard input is then one, not one a line, and there is a blank line
        between results.
    setup : tuple of str
        Options that it is made with.
    read : callable
        Reads the file of --data.
    """

    show: Callable[..., Iterator[Shown]]
    options: tuple[str, ...]
    needs: tuple[str, ...] = ()
    whole: bool = False
    setup: tuple[str, ...] = ()
    read: Callable[[argparse.Namespace], list[Input]] = read_texts


def labels(
    predict: TextClassification,
    texts: Sequence[str],
    *,
    pairs: Sequence[str] | None = None,
    top_k: int | None = None,
    threshold: float | None = None,
    no_truncation: bool = False,
) -> Iterator[Shown]:
    found = predict(texts, pairs, threshold=threshold, truncation=not no_truncation)
    for i, (text, prediction) in enumerate(zip(texts, found, strict=True)):
        given = {"text": text} if pairs is None else {"text": text, "pair": pairs[i]}
        if predict.is_number:
            called = {} if prediction.label in UNNAMED else {"label": prediction.label}
            number = {**given, **called, "score": prediction.score}
            yield Shown([[*called.values(), prediction.score, *given.values()]], number)
            continue
        facts = {**given, **prediction._asdict()}
        chosen: list[tuple[str, float]] = [(prediction.label or "none", prediction.score)]
        if top_k is not None:
            chosen = sorted(prediction.scores.items(), key=lambda item: -item[1])[:top_k]
            facts["top"] = [{"label": label, "score": score} for label, score in chosen]
        yield Shown([[label, score, *given.values()] for label, score in chosen], facts)


def entities(predict: TokenClassification, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
    for text, found in zip(texts, predict(texts, **options), strict=True):
        rows: list[list[object]] = [[e.type, e.score, e.start, e.end, e.text] for e in found]
        yield Shown(rows, {"text": text, "entities": [e._asdict() for e in found]})


def answers(
    predict: QuestionAnswering,
    texts: Sequence[str],
    *,
    pairs: Sequence[str] | None = None,
    question: str = "",
    n_best: int = 1,
    **options: Any,
) -> Iterator[Shown]:
    """With one question for all texts, or `pairs`, one for each."""
    questions = [question] * len(texts) if pairs is None else pairs
    found = predict(questions, texts, n_best=n_best, **options)
    for question, text, answer in zip(questions, texts, found, strict=True):
        best = answer.candidates if n_best > 1 and answer.best.text else [answer.best]
        odds = answer.null_odds if math.isfinite(answer.null_odds) else None
        yield Shown(
            [[a.score, a.start, a.end, a.text] for a in best],
            {
                "question": question,
                "context": text,
                **answer.best._asdict(),
                "candidates": [a._asdict() for a in answer.candidates],
                "null_odds": odds,
            },
        )


def words(predict: FillMask, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
    for text, found in zip(texts, predict(texts, **options), strict=True):
        rows: list[list[object]] = [[c.token, c.score, c.text] for m in found.masks for c in m.candidates]
        if len(found.masks) > 1:
            rows.append([" ".join(found.tokens), found.score, found.text])
        masks = [m._asdict() | {"candidates": [c._asdict() for c in m.candidates]} for m in found.masks]
        facts = {"text": text, "filled": found.text, "score": found.score, "tokens": found.tokens}
        yield Shown(rows, {**facts, "masks": masks})


def chosen(
    predict: MultipleChoice, texts: Sequence[str], *, choices: Sequence[str] | None = None, **options: Any
) -> Iterator[Shown]:
    from minidistil.tasks.multiple_choice.swag import ChoiceRow

    if choices is None:
        given = [choices_of(text) for text in texts]
    else:
        given = [ChoiceRow(text, "", list(choices), None) for text in texts]
    found = predict(
        [row.context for row in given],
        [row.choices for row in given],
        starts=[row.start for row in given],
        truncation=not options.get("no_truncation", False),
    )
    for row, best in zip(given, found, strict=True):
        facts = {"context": row.context, "start": row.start, "choices": row.choices}
        yield Shown(
            [[best.number, best.score, best.text]],
            {**facts, "number": best.number, "choice": best.text, "score": best.score, "scores": best.scores},
        )


def choices_of(text: str) -> ChoiceRow:
    """A text that is a JSON object with choices of its own, as in the files of the task."""
    from minidistil.tasks.multiple_choice.swag import choice_row

    if not text.lstrip().startswith("{"):
        raise UsageError(
            "which are the choices? Say --choices, or let each text be a JSON object with context and choices"
        )
    name = f"{text:.60}"
    return choice_row(json_object(text, name, 1), path=name, line=1, empty=True)


def summaries(predict: Summarization, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
    for text, found in zip(texts, predict(texts, **options), strict=True):
        facts = {"text": text, "summary": found.text, "method": found.method}
        yield Shown(
            [[sentence.text] for sentence in found.sentences],
            {**facts, "sentences": [asdict(sentence) for sentence in found.sentences]},
        )


def intents(
    predict: Intents, texts: Sequence[str], *, top_k: int | None = None, threshold: float | None = None
) -> Iterator[Shown]:
    found = predict(texts, top_k=top_k or SHOWN, threshold=threshold)
    for text, intent in zip(texts, found, strict=True):
        rows: list[list[object]] = [[intent.label, intent.score, text]]
        if top_k is not None:
            rows = [[c.label, c.score, c.example, text] for c in intent.candidates]
        candidates = [c._asdict() for c in intent.candidates]
        yield Shown(rows, {"text": text, **intent._asdict(), "candidates": candidates})


def faq(
    predict: Faq, texts: Sequence[str], *, top_k: int | None = None, threshold: float | None = None
) -> Iterator[Shown]:
    from minidistil.tasks.intents.out_of_scope import NONE

    found = predict(texts, top_k=top_k or SHOWN, threshold=threshold)
    for text, answer in zip(texts, found, strict=True):
        rows: list[list[object]] = [[answer.answer or NONE, answer.score, text]]
        if top_k is not None:
            rows = [[c.answer, c.score, c.question, text] for c in answer.candidates]
        candidates = [c._asdict() for c in answer.candidates]
        yield Shown(rows, {"text": text, **answer._asdict(), "candidates": candidates})


NEAREST = ("entries", "vectors", "prompt", "max_length")  # what finding the nearest entry is made with
UNNAMED = ("score", "LABEL_0")  # what a number is called if nobody says it
SHOWN = 5  # candidates in an object, if nothing is said
KINDS: dict[str, Kind] = {
    "text-classification": Kind(
        labels,
        ("no_truncation", "top_k", "threshold", "pair", "pair_column"),
        setup=("max_length",),
        read=read_pairs,
    ),
    "token-classification": Kind(
        entities, ("aggregation",), setup=("max_length", "scheme"), read=read_sentences
    ),
    "question-answering": Kind(
        answers,
        ("question", "n_best", "null_threshold"),
        needs=("question",),
        setup=("max_length",),
        read=read_contexts,
    ),
    "fill-mask": Kind(words, ("top_k", "targets")),
    "multiple-choice": Kind(chosen, ("choices", "no_truncation"), setup=("max_length",), read=read_choices),
    "summarization": Kind(
        summaries,
        ("sentences", "words", "method", "unit", "mmr_lambda", "block_trigrams"),
        whole=True,
        read=read_documents,
    ),
    "intents": Kind(intents, ("top_k", "threshold"), setup=NEAREST),
    "faq": Kind(faq, ("top_k", "threshold"), setup=(*NEAREST, "answers")),
}


def made(task: str | None, path_or_id: str, setup: dict[str, Any], **options: Any) -> Pipeline:
    """A predictor for a task, or for what the model's head is for.

    Parameters
    ----------
    setup : dict
        Options of the user that it is made with.
    **options
        Of loading.

    Raises
    ------
    UsageError
        An option that it is not made with.
    """
    if task is not None:
        kind = pipeline_class(task)
        _check_setup(kind, setup)
        if "prompt" in setup:
            about = read_settings(resolve(path_or_id))
            setup = {**setup, "prompt": about.named_or_text(setup["prompt"])}
        found = kind.from_pretrained(path_or_id, **options, **setup)
        if isinstance(found, Nearest):
            log_similarity(found.nearest.encoder)
        return found
    for option in setup.keys() & {"entries", "vectors", "answers", "prompt"}:  # which no head asks for
        _check_setup(None, {option})
    model, tokenizer = load(path_or_id, **options)
    kind = pipeline_for(model)
    _check_setup(kind, setup)
    return kind(model, tokenizer, **setup)


def _check_setup(made: type[Pipeline] | None, given: Iterable[str]) -> None:
    for option in set(given) - set(KINDS[made.task].setup if made else ()):
        having = [name for name, kind in KINDS.items() if option in kind.setup]
        raise UsageError(f"--{option.replace('_', '-')} goes with --task {' or '.join(having)}")


def kind_of(predict: Pipeline, given: dict[str, Any], *, file: bool = False) -> Kind:
    """How a predictor is shown.

    Parameters
    ----------
    given : dict
        The options that the user wrote.
    file : bool
        Whether texts are from a file, which may have what an option would say.

    Raises
    ------
    UsageError
        An option that means nothing to it, or one that is missing.
    """
    kind, name = KINDS[predict.task], type(predict.model).__name__
    for option in given.keys() - set(kind.options):
        raise UsageError(f"{name} does not take --{option.replace('_', '-')}")
    for option in kind.needs:
        if option not in given and not file:
            raise UsageError(f"{name} needs --{option.replace('_', '-')}")
    return kind

"""Intents, and answers to questions that were asked before: the nearest of some entries, without training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import InputError
from minidistil.tasks.base import PredictingTask, Predictor
from minidistil.tasks.intents.faq import FaqTask, compared
from minidistil.tasks.intents.nearest import Near, NearestEntries, entry_vectors
from minidistil.tasks.intents.out_of_scope import or_none
from minidistil.tasks.intents.task import IntentTask, nearest_intents
from minidistil.tasks.training_settings import NONE
from minidistil.text.readers import Examples
from minidistil.text.texts import as_texts

Entries = str | Path | Sequence[tuple[str, str]]


class Nearest(Predictor):
    """A search for the nearest of some entries: made once from an encoder and the entries, asked often.

    Parameters
    ----------
    task : PredictingTask
    encoder : SentenceEncoder
    texts : sequence of str, [E]
        To compare with.
    vectors : path or float [E, H], optional
        What the encoder made of them before: `vectors` of such an object, or a file of `minidistil embed` or
        `write_vectors`.

    Attributes
    ----------
    vectors : float [E, H]
    nearest : NearestEntries
    threshold : float or None
        The score below which there is no answer.
    """

    nearest: NearestEntries
    threshold: float | None

    def __init__(
        self,
        task: PredictingTask,
        encoder: SentenceEncoder,
        texts: Sequence[str],
        vectors: str | Path | npt.ArrayLike | None,
    ) -> None:
        super().__init__(task, encoder.model, encoder.tokenizer)
        self.encoder = encoder
        self.vectors = entry_vectors(encoder, texts, vectors)

    def _find(
        self, texts: str | Sequence[str], top_k: int, threshold: float | None
    ) -> list[tuple[list[Near], bool]]:
        """The nearest labels of each text, and whether the best is good enough."""
        check_integer("top_k", top_k, 1)
        asked = as_texts("texts", texts, one=True)
        least = self.threshold if threshold is None else threshold
        return [(near, least is None or near[0].score >= least) for near in self.nearest.find(asked, top_k)]


class IntentCandidate(NamedTuple):
    """An intent that a text may have.

    Attributes
    ----------
    label : str
    score : float
        How near the intent's nearest example is, see `Near`.
    example : str
    """

    label: str
    score: float
    example: str


class Intent(NamedTuple):
    """What a text wants.

    Attributes
    ----------
    label : str
        "none" below the threshold.
    score : float
        Of the best candidate.
    candidates : list of IntentCandidate
        Best first.
    """

    label: str
    score: float
    candidates: list[IntentCandidate]


class Intents(Nearest):
    """Intents of texts by examples: `pipeline("intents", ENCODER, entries="intents.jsonl")("where is it?")`.

    Parameters
    ----------
    encoder : SentenceEncoder
    entries : path, or sequence of (str, str)
        A file, or texts with their intents; "none" is out of scope.
    vectors
        See `Nearest`; of all entries.
    threshold : float, optional
        Below it the answer is "none". By default what is best on the entries themselves, each left out once,
        if some of them are out of scope; if not, every text has an intent.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        entries: Entries,
        *,
        vectors: str | Path | npt.ArrayLike | None = None,
        threshold: float | None = None,
    ) -> None:
        if isinstance(entries, (str, Path)):
            examples = IntentTask().read(entries)
        else:
            examples = as_examples(entries, or_none)
        super().__init__(IntentTask(), encoder, examples.texts, vectors)
        self.nearest, best = nearest_intents(encoder, examples, self.vectors)
        self.threshold = best if threshold is None else threshold
        self._examples = [
            text for text, label in zip(examples.texts, examples.labels or [], strict=True) if label != NONE
        ]

    def __call__(
        self, texts: str | Sequence[str], *, top_k: int = 5, threshold: float | None = None
    ) -> list[Intent]:
        """An intent for each text, and the `top_k` nearest; another `threshold` for this time."""
        found = []
        for near, good in self._find(texts, top_k, threshold):
            candidates = [IntentCandidate(n.label, n.score, self._examples[n.entry]) for n in near]
            found.append(Intent(near[0].label if good else NONE, near[0].score, candidates))
        return found


class AnswerCandidate(NamedTuple):
    """An answer that a question may have.

    Attributes
    ----------
    answer : str
    score : float
        How near the nearest of the questions (or, if these are compared, the answers) is that it is for.
    question : str
        Of that entry.
    entry : int
        Which it is, from 0.
    """

    answer: str
    score: float
    question: str
    entry: int


class FaqAnswer(NamedTuple):
    """What was found for a question.

    Attributes
    ----------
    answer : str or None
        None below the threshold.
    score : float
        Of the best candidate.
    candidates : list of AnswerCandidate
        Best first.
    """

    answer: str | None
    score: float
    candidates: list[AnswerCandidate]


class Faq(Nearest):
    """Answers of questions that were asked before: `pipeline("faq", ENCODER, entries="faq.jsonl")("how?")`.

    Parameters
    ----------
    encoder : SentenceEncoder
    entries : path, or sequence of (str, str)
        A file with columns "question" and "answer", or such pairs; several questions may have one answer.
    answers : bool
        Compare with the answers, too.
    vectors
        See `Nearest`; of the questions, followed with `answers` by those of the answers.
    threshold : float, optional
        Below it there is no answer; without it there always is.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        entries: Entries,
        *,
        answers: bool = False,
        vectors: str | Path | npt.ArrayLike | None = None,
        threshold: float | None = None,
    ) -> None:
        if isinstance(entries, (str, Path)):
            examples = FaqTask().read_entries(entries)
        else:
            examples = as_examples(entries)
        texts, labels = compared(examples, answers=answers)
        super().__init__(FaqTask(), encoder, texts, vectors)
        self.nearest = NearestEntries(encoder, self.vectors, labels)
        self.threshold = threshold
        self._questions = examples.texts

    def __call__(
        self, texts: str | Sequence[str], *, top_k: int = 5, threshold: float | None = None
    ) -> list[FaqAnswer]:
        """An answer for each question, and the `top_k` best; another `threshold` for this time."""
        found = []
        for near, good in self._find(texts, top_k, threshold):
            candidates = []
            for label, score, place in near:
                entry = place % len(self._questions)  # the answers' vectors follow the questions'
                candidates.append(AnswerCandidate(label, score, self._questions[entry], entry))
            found.append(FaqAnswer(near[0].label if good else None, near[0].score, candidates))
        return found


def as_examples(pairs: Sequence[tuple[str, str]], label: Callable[[Any], str] = str) -> Examples:
    """Texts and labels that are in no file; `label` makes a name of what is given for one.

    Raises
    ------
    InputError
        One that is not two texts, or an empty one.
    """
    texts, labels = [], []
    for i, pair in enumerate(pairs):
        if (
            not isinstance(pair, (tuple, list))
            or len(pair) != 2
            or not isinstance(pair[0], str)
            or not pair[0].strip()
            or not label(pair[1]).strip()
        ):
            raise InputError(f"entry {i} must be two texts that are not empty, not {pair!r:.80}")
        texts.append(pair[0])
        labels.append(label(pair[1]))
    return Examples(texts, None, labels, list(range(1, len(texts) + 1)), "the entries")

"""Nearest-neighbour classification (1-NN) of texts by an encoder and labelled entries, without training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer
from minidistil.arrays import Float64, Int64
from minidistil.embeddings.encoder import ENCODING, SentenceEncoder
from minidistil.embeddings.similarity import prepare, similarities
from minidistil.embeddings.vector_files import reuse_vectors
from minidistil.errors import InputError, UsageError
from minidistil.metrics import OUT_OF_SCOPE, Threshold, best_threshold, selective_scores
from minidistil.metrics.ranking import row_blocks
from minidistil.model.model import Model
from minidistil.tasks.base import PredictingTask, Predictor
from minidistil.tasks.details import Details, line_of
from minidistil.tasks.inputs import Shown
from minidistil.tasks.intents.out_of_scope import ScopeSettings
from minidistil.tasks.predictor import keyword_names
from minidistil.text.readers import Examples
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer

CANDIDATES = 5  # in an object, by default


class Neighbour(NamedTuple):
    """Label of a near entry.

    Attributes
    ----------
    label : str
    score : float
        Similarity to the nearest entry with this label.
    entry : int
        Number of that entry, from 0.
    """

    label: str
    score: float
    entry: int


class NearestNeighbours:
    """Nearest-neighbour classifier: the score of a label is the similarity to its nearest entry.

    Parameters
    ----------
    encoder : SentenceEncoder
    vectors : float [E, H]
        Of the entries.
    labels : sequence of str, [E]

    Attributes
    ----------
    names : tuple of str
        The C labels, in the order in which they first occur.
    """

    def __init__(self, encoder: SentenceEncoder, vectors: npt.NDArray[Any], labels: Sequence[str]) -> None:
        self.encoder = encoder
        self.names = tuple(dict.fromkeys(labels))
        numbers = {name: i for i, name in enumerate(self.names)}
        self._labels = np.array([numbers[label] for label in labels], np.int64)
        self._order = np.argsort(self._labels, kind="stable")  # entries of a label side by side
        self._begins = np.searchsorted(self._labels[self._order], np.arange(len(self.names)))
        self._similarity = encoder.settings.similarity
        self._least = -1.0 if self._similarity == "cosine" else -np.inf
        self._entries = prepare(vectors[self._order], self._similarity)

    def scores(self, texts: Sequence[str], *, quiet: bool = True) -> Float64:
        """Scores [N, C] of all labels."""
        parts = [self._by_label(part) for part in self._to_entries(texts, quiet)]
        return np.concatenate([np.zeros((0, len(self.names))), *parts])

    def find(self, texts: Sequence[str], k: int | None = 5) -> list[list[Neighbour]]:
        """Find the k best labels of each text, or all, best first; of equal ones the one that came first."""
        neighbours = []
        for part in self._to_entries(texts, True):
            scores = self._by_label(part)
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            for row, labels in enumerate(best.tolist()):
                neighbours.append([Neighbour(self.names[c], *self._nearest(part[row], c)) for c in labels])
        return neighbours

    def leave_one_out_threshold(self, outside: npt.NDArray[Any]) -> Threshold:
        """Best threshold on the entries, each compared with all others, and out-of-scope vectors [M, H]."""
        n = len(self._order)
        best, chosen = np.zeros(n), np.zeros(n, np.int64)
        for rows in row_blocks(n, n):
            block = similarities(self._entries[rows], self._entries, self._similarity)
            block[np.arange(len(block)), np.arange(rows.start, rows.stop)] = self._least
            scores = self._by_label(block)
            best[rows], chosen[rows] = scores.max(1), scores.argmax(1)
        others = similarities(prepare(outside, self._similarity), self._entries, self._similarity).max(1)
        correct = np.append(chosen == self._labels[self._order], np.zeros(len(others), np.bool_))
        return best_threshold(correct, np.arange(n + len(others)) >= n, np.append(best, others))

    def _to_entries(self, texts: Sequence[str], quiet: bool) -> Iterator[Float64]:
        """Similarities [., E] of blocks of texts to all entries, in `_order`."""
        vectors = self.encoder.encode(texts, quiet=quiet)
        for rows in row_blocks(len(vectors), len(self._order)):
            yield similarities(prepare(vectors[rows], self._similarity), self._entries, self._similarity)

    def _by_label(self, block: Float64) -> Float64:
        best: Float64 = np.maximum.reduceat(block, self._begins, axis=1)
        return best

    def _nearest(self, row: npt.NDArray[Any], label: int) -> tuple[float, int]:
        """Largest similarity of one text to the entries of a label, and that entry."""
        begin = self._begins[label]
        end = self._begins[label + 1] if label + 1 < len(self._begins) else len(row)
        best = begin + int(row[begin:end].argmax())
        return float(row[best]), int(self._order[best])


class NearestPredictor(Predictor):
    """Encoder with entries: made once, called often.

    Parameters
    ----------
    task : NearestTask
        Its settings have the threshold.
    encoder : SentenceEncoder
    entries : Examples
    vectors : path or float [E, H], optional
        Stored vectors of the entries: `vectors` of such a predictor, or a file of `minidistil embed`.
    quiet : bool
        Show no progress.

    Attributes
    ----------
    vectors : float [E, H]
    classifier : NearestNeighbours
        Of the entries in scope.
    texts : list of str
        Texts of the entries in scope.
    threshold : float or None
        Lowest score of an answer. By default the best on the entries, if some of them are out of scope.
    """

    task: NearestTask

    def __init__(
        self,
        task: NearestTask,
        encoder: SentenceEncoder,
        entries: Examples,
        *,
        vectors: str | Path | npt.ArrayLike | None = None,
        quiet: bool = True,
    ) -> None:
        super().__init__(task, encoder.model, encoder.tokenizer)
        if not len(entries):
            raise InputError("there are no entries to compare with")
        texts, labels = task.labelled_texts(entries)
        if vectors is None:
            self.vectors: npt.NDArray[Any] = encoder.encode(texts, quiet=quiet)
        else:
            self.vectors = reuse_vectors(encoder, texts, vectors)
        inside = np.array([label is not None for label in labels])
        self.encoder, self.threshold = encoder, task.scope.threshold
        self.classifier = NearestNeighbours(
            encoder, self.vectors[inside], [label for label in labels if label is not None]
        )
        self.texts = [texts[i] for i in np.flatnonzero(inside)]
        if self.threshold is None and not inside.all():
            self.threshold = self.classifier.leave_one_out_threshold(self.vectors[~inside]).value

    def facts(self) -> dict[str, str]:
        least = "" if self.threshold is None else f', "none" below {self.threshold:.4g}'
        entries = f"{len(self.texts):,} with {len(self.classifier.names):,} labels{least}"
        return {**super().facts(), "entries": entries}

    def answer(
        self, texts: str | Sequence[str], *, top_k: int | None = CANDIDATES, threshold: float | None = None
    ) -> list[Any]:
        """Answer each text, with its `top_k` best candidates, or all; `threshold` replaces the usual one."""
        if top_k is not None:
            check_integer("top_k", top_k, 1)
        least = self.threshold if threshold is None else threshold
        return [
            self.task.answer(neighbours, least is None or neighbours[0].score >= least, self.texts)
            for neighbours in self.classifier.find(as_texts("texts", texts, one=True), top_k)
        ]


class NearestTask(PredictingTask):
    """Answers by the nearest of some entries.

    Attributes
    ----------
    scope : ScopeSettings
    own : tuple of str
        Options of `open` that are fields of the settings.
    """

    inputs: ClassVar[tuple[str, ...]] = ("text",)
    ranks: ClassVar[bool] = False
    setup: ClassVar[tuple[str, ...]] = ("entries", "vectors", "prompt", "max_length")
    options: ClassVar[tuple[str, ...]] = ("top_k", "threshold")
    own: ClassVar[tuple[str, ...]] = ("threshold",)
    settings_type: ClassVar[type[Any]] = ScopeSettings
    scope: ScopeSettings

    @classmethod
    def loading_options(cls) -> tuple[str, ...]:
        return (*cls.own, *ENCODING)

    @classmethod
    def call_options(cls) -> tuple[str, ...]:
        return keyword_names(NearestPredictor.answer)

    @classmethod
    def open(cls, path_or_id: str | Path, **options: Any) -> NearestPredictor:
        """Load an encoder and entries, a file or a sequence of (text, label).

        The options are `entries`, `vectors`, `own`, and those of `SentenceEncoder.from_pretrained`.
        """
        with_encoder = cls._with_entries(options)
        return with_encoder(SentenceEncoder.from_pretrained(path_or_id, **options))

    @classmethod
    def bind(cls, model: Model, tokenizer: Tokenizer, **options: Any) -> NearestPredictor:
        """As `open`, of an encoder in memory."""
        with_encoder = cls._with_entries(options)
        return with_encoder(SentenceEncoder.of_model(model, tokenizer, **options))

    @classmethod
    def _with_entries(cls, options: dict[str, Any]) -> Callable[[SentenceEncoder], NearestPredictor]:
        """Read the entries, taking them and `own` out of the options: the encoder is missing then."""
        entries, vectors = options.pop("entries", None), options.pop("vectors", None)
        if entries is None:
            raise UsageError(f"{cls.kind} needs entries, texts to compare with: --entries FILE")
        own = {key: options.pop(key) for key in cls.own if key in options}
        task = cls(settings=cls.settings_type(**own))
        read = task.read_entries if isinstance(entries, (str, Path)) else task.examples_of
        return partial(NearestPredictor, task, entries=read(entries), vectors=vectors)

    @abstractmethod
    def read_entries(self, path: str | Path) -> Examples:
        """Read a file of entries."""

    def examples_of(self, pairs: Sequence[tuple[str, str]]) -> Examples:
        """Entries from pairs of text and label.

        Raises
        ------
        InputError
            An entry that is not two texts, or an empty one.
        """
        texts, labels = [], []
        for i, pair in enumerate(pairs):
            two = isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)
            if not (two and pair[0].strip() and self.entry_label(pair[1]).strip()):
                raise InputError(f"entry {i} must be two texts that are not empty, not {pair!r:.80}")
            texts.append(pair[0])
            labels.append(self.entry_label(pair[1]))
        return Examples(texts, None, labels, list(range(1, len(texts) + 1)), "the entries")

    def entry_label(self, label: Any) -> str:
        """Name of a label that is not from a file."""
        return str(label)

    @abstractmethod
    def labelled_texts(self, entries: Examples) -> tuple[list[str], Sequence[str | None]]:
        """Texts to compare with, and their labels; None is out of scope."""

    @abstractmethod
    def class_numbers(self, examples: Examples, entries: Examples) -> Int64:
        """Right classes [N] among the labels of the entries, or `OUT_OF_SCOPE`."""

    @abstractmethod
    def answer(self, neighbours: list[Neighbour], accepted: bool, texts: list[str]) -> Any:
        """Answer from the best labels; `accepted` if the first reaches the threshold."""

    @abstractmethod
    def class_metrics(self, labels: Int64, predictions: Int64, names: tuple[str, ...]) -> dict[str, Any]:
        """Metrics of the examples in scope."""

    def evaluate_saved(
        self,
        path_or_id: str | Path,
        examples: Examples,
        *,
        quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:
        """Metrics of an encoder with the entries of the settings, see `selective_scores`."""
        if self.scope.entries is None:
            raise UsageError(f"{self.kind} needs entries to find answers in: --entries FILE")
        entries = self.read_entries(self.scope.entries)
        labels = self.class_numbers(examples, entries)
        predictor = NearestPredictor(self, self.scope.encoder(path_or_id), entries, quiet=quiet)
        scores = predictor.classifier.scores(examples.texts, quiet=quiet)
        inside = labels != OUT_OF_SCOPE
        if details is not None:
            asked, names = examples.subset(np.flatnonzero(inside)), predictor.classifier.names
            _margin_details(details, labels[inside], scores[inside], names, asked)
        return {
            **self.class_metrics(labels[inside], scores[inside].argmax(1), predictor.classifier.names),
            **selective_scores(labels, scores, predictor.threshold),
        }

    def show(self, predictor: Predictor, texts: Sequence[str], **options: Any) -> Iterator[Shown]:
        top_k = options.pop("top_k", None)
        answers = predictor.answer(texts, top_k=top_k or CANDIDATES, **options)
        for text, answer in zip(texts, answers, strict=True):
            rows = [self.cells(answer)] if top_k is None else [list(c[:3]) for c in answer.candidates]
            candidates = [c._asdict() for c in answer.candidates]
            facts = {"text": text, **answer._asdict(), "candidates": candidates}
            table = candidates if top_k is not None else [self.named_cells(answer)]
            yield Shown([[*row, text] for row in rows], facts, table)

    def cells(self, answer: Any) -> list[object]:
        """Answer and score in a line."""
        return [answer.label, answer.score]

    def named_cells(self, answer: Any) -> dict[str, object]:
        """Answer and score, and the entry that is nearest, for a table."""
        best = answer.candidates[0]._asdict()
        return {**best, next(iter(best)): self.cells(answer)[0]}


def _margin_details(
    details: Details, labels: Int64, scores: Float64, names: Sequence[str], examples: Examples
) -> None:
    """Add the examples of which the right label, of scores [N, C], is furthest behind."""
    chosen, right = scores.argmax(1), scores[np.arange(len(labels)), labels]
    details.keep_worst(
        scores.max(1) - right,
        lambda i: {
            **line_of(examples, i),
            "texts": {"text": examples.texts[i]},
            "right": names[labels[i]],
            "given": names[chosen[i]],
        },
        measure="gap",
        about="Similarity of the nearest entry, minus that of the nearest entry with the right answer.",
    )

"""What a user wants: one of some intents, or none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil import metrics
from minidistil.config import ModelConfig
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.errors import DataError, UsageError
from minidistil.model.model import Model
from minidistil.tasks.base import Predictor
from minidistil.tasks.classification.scores import class_scores, label_names
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.intents.nearest import NearestEntries, entry_vectors
from minidistil.tasks.intents.out_of_scope import (
    OUTSIDE,
    ScopeSettings,
    none_scores,
    or_none,
)
from minidistil.tasks.intents.show import ShownNearest
from minidistil.tasks.training_settings import NONE, THRESHOLD, stored_threshold
from minidistil.text.dataset import Dataset
from minidistil.text.json_text import has_rows, read_json
from minidistil.text.labels import LabelMap, class_labels
from minidistil.text.readers import Examples
from minidistil.text.tables import suffix_of
from minidistil.text.tokenizer import Tokenizer

Array = npt.NDArray[np.floating[Any]]


class IntentTask(ShownNearest, ClassificationTask):
    """One intent for each text: a classifier has learnt them, or an encoder compares with examples.

    An example whose label is empty, "none" or "oos" is out of scope. It teaches no class, but on held-out
    examples it shows what the threshold must be, below which the answer is "none".

    Parameters
    ----------
    data : DataSettings
    settings : ScopeSettings
        With `entries`, a model that is measured is an encoder.
    """

    kind: ClassVar[str] = "intents"
    template: ClassVar[str] = "intents"
    settings_type: ClassVar[type[Any] | None] = ScopeSettings

    def __init__(self, data: DataSettings | None = None, settings: ScopeSettings | None = None) -> None:
        super().__init__(data)
        self.scope = settings or ScopeSettings()

    @classmethod
    def of_encoder(cls, encoder: SentenceEncoder, **options: Any) -> Predictor:
        """Intents by `entries`; a classifier of intents is opened as one of classification."""
        from minidistil.tasks.intents.predictor import Intents

        return Intents(encoder, **options)

    def read(self, path: str | Path) -> Examples:
        """Examples of a table (`read_examples`), or a part of CLINC150's JSON: `data_full.json#val`."""
        file, _, part = str(path).partition("#")
        clinc: bool | str = suffix_of(file) == ".json" and (part or not has_rows(file))
        examples = read_clinc(file, part) if clinc else super().read(path)
        if examples.labels is None:
            return examples
        return replace(examples, labels=[or_none(label) for label in class_labels(examples)])

    def config_overrides(self, examples: Examples) -> dict[str, Any]:
        return super().config_overrides(in_scope(examples))

    def dataset(
        self, tokenizer: Tokenizer, examples: Examples, config: ModelConfig, *, labelled: bool = True
    ) -> Dataset:
        """Without labels, all examples; with them those that are in scope."""
        if labelled:
            examples = in_scope(examples)
        return super().dataset(tokenizer, examples, config, labelled=labelled)

    def calibrate(self, model: Model, tokenizer: Tokenizer, examples: Examples) -> dict[str, Any]:
        """The best threshold on these examples, if some are out of scope; see `best_threshold`."""
        labels = intent_numbers(examples, label_names(model.config))
        if (labels != OUTSIDE).all():
            return {}
        probabilities = self._probabilities(model, tokenizer, examples)
        cut = metrics.best_threshold(
            probabilities.argmax(1) == labels, labels == OUTSIDE, probabilities.max(1)
        )
        return {THRESHOLD: cut.value}

    def evaluate(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Metrics of a classifier: those of classification in scope, and `none_scores`."""
        names = label_names(model.config)
        labels = intent_numbers(examples, names)
        probabilities = self._probabilities(model, tokenizer, examples, quiet=quiet)
        threshold = stored_threshold(model.config) if self.scope.threshold is None else self.scope.threshold
        inside = labels != OUTSIDE
        error = metrics.expected_calibration_error(labels[inside], probabilities[inside])
        return {
            **class_scores(labels[inside], probabilities[inside].argmax(1), names),
            "calibration_error": error,
            **none_scores(labels, probabilities, threshold),
        }

    def evaluate_saved(
        self, path_or_id: str | Path, examples: Examples, *, quiet: bool = True
    ) -> dict[str, Any]:
        """Metrics of a classifier, or with entries of an encoder."""
        if self.scope.entries is None:
            if self.scope.prompt is not None:
                raise UsageError("task.prompt is of an encoder that compares with entries: --entries FILE")
            return super().evaluate_saved(path_or_id, examples, quiet=quiet)
        entries = self.read(self.scope.entries)
        labels = intent_numbers(examples, tuple(dict.fromkeys(labels_of(in_scope(entries)))))
        encoder = self.scope.encoder(path_or_id)
        nearest, best = nearest_intents(encoder, entries, entry_vectors(encoder, entries.texts, quiet=quiet))
        scores = nearest.scores(examples.texts, quiet=quiet)
        inside = labels != OUTSIDE
        return {
            **class_scores(labels[inside], scores[inside].argmax(1), nearest.names),
            **none_scores(labels, scores, best if self.scope.threshold is None else self.scope.threshold),
        }

    def _probabilities(
        self, model: Model, tokenizer: Tokenizer, examples: Examples, *, quiet: bool = True
    ) -> Array:
        """Of each class, [N, C]."""
        return np.concatenate(
            list(self.answers(model, tokenizer, examples.texts, examples.pairs, quiet=quiet))
        )


def labels_of(examples: Examples) -> list[str]:
    """Intents, which must be there.

    Raises
    ------
    DataError
        There is no column of them.
    """
    if examples.labels is None:
        raise DataError("there is no column of intents; say which: data.label", path=examples.path)
    return examples.labels


def in_scope(examples: Examples) -> Examples:
    """Those that have an intent.

    Raises
    ------
    DataError
        None has.
    """
    rows = [i for i, label in enumerate(labels_of(examples)) if label != NONE]
    if not rows:
        raise DataError("every example is out of scope: there is no intent in it", path=examples.path)
    return examples.subset(rows)


def intent_numbers(examples: Examples, names: Sequence[str]) -> npt.NDArray[np.int64]:
    """Class numbers [N], `OUTSIDE` for what is out of scope.

    A model that learnt "none" as a class among others has that class for it.

    Raises
    ------
    DataError
        An intent that is not among the names (file and line named), or no example that is in scope.
    """
    names = [or_none(name) for name in names]
    labels = np.full(len(examples), OUTSIDE, np.int64)
    inside = [i for i, label in enumerate(labels_of(examples)) if label != NONE or NONE in names]
    if not inside:
        raise DataError("every example is out of scope: there is no intent in it", path=examples.path)
    labels[inside] = LabelMap(tuple(names)).encode(examples.subset(inside))
    return labels


def nearest_intents(
    encoder: SentenceEncoder, entries: Examples, vectors: npt.NDArray[Any]
) -> tuple[NearestEntries, float | None]:
    """What finds intents by examples; and the threshold that is best on these, each left out once.

    Without examples that are out of scope there is no such threshold.

    Parameters
    ----------
    encoder : SentenceEncoder
    entries : Examples
        Those out of scope have the label `NONE`; they are not compared with.
    vectors : float [E, H]
        Of all entries.

    Raises
    ------
    DataError
        All of them are out of scope.
    """
    inside = np.array([label != NONE for label in labels_of(entries)])
    nearest = NearestEntries(encoder, vectors[inside], labels_of(in_scope(entries)))
    return nearest, None if inside.all() else nearest.left_out(vectors[~inside]).value


def read_clinc(path: str, part: str) -> Examples:
    """A part of CLINC150 (Larson et al. 2019, arXiv:1909.02027), JSON with lists of [text, intent].

    Parameters
    ----------
    path : str
    part : str
        "train", "val" or "test": that list, and what is out of scope, `oos_` before the name.

    Returns
    -------
    Examples
        Lines count the examples of the part, as the file has no lines to speak of.

    Raises
    ------
    UsageError
        Which part is not said; the message has those there are.
    DataError
        Not such a file.
    """
    content = read_json(path, path)
    if not isinstance(content, dict):
        raise DataError(
            "an object with lists of [text, intent] is expected, or rows, each an object", path=path
        )
    if part not in content:
        parts = ", ".join(name for name in content if not name.startswith("oos_"))
        raise UsageError(f"{path}: say which part, such as {path}#train; there are: {parts}")
    rows = [*_list(content[part], path), *_list(content.get(f"oos_{part}", []), path)]
    name = f"{path}#{part}"
    for line, row in enumerate(rows, 1):
        if not (
            isinstance(row, list)
            and len(row) == 2
            and all(isinstance(x, str) for x in row)
            and row[0].strip()
        ):
            raise DataError(f"[text, intent] is expected, not {row!r:.80}", path=name, line=line)
    if not rows:
        raise DataError("there are no examples in it", path=name)
    texts, labels = zip(*rows, strict=True)
    return Examples(list(texts), None, list(labels), list(range(1, len(rows) + 1)), name)


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"lists of [text, intent] are expected, not {value!r:.80}", path=path)
    return value

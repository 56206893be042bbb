"""Labels, or a score, for texts and for pairs of texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_number
from minidistil.errors import InputError, UsageError
from minidistil.model.heads import SequenceHead
from minidistil.model.model import Model
from minidistil.tasks.classification.predict import stored_activation
from minidistil.tasks.classification.task import SequenceTask, label_names, problem_of
from minidistil.tasks.data import DataSettings
from minidistil.tasks.intents.out_of_scope import NONE, stored_threshold
from minidistil.tasks.predictor import Pipeline
from minidistil.tasks.training_settings import Learnt
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer

log = logging.getLogger("minidistil")


class Prediction(NamedTuple):
    """What a classifier says of one text.

    Attributes
    ----------
    label : str
        The most probable one, or "none" below the threshold. For many labels, those at or above the threshold
        (one half), joined by ", ". For regression, the name of the one output.
    score : float
        Its probability (the highest, for many labels); for regression, the value itself.
    scores : dict of str to float
        Of every label.
    """

    label: str
    score: float
    scores: dict[str, float]


class TextClassification(Pipeline):
    """Classifies texts: `TextClassification(model, tokenizer)(["a warm, funny film"])`."""

    task: ClassVar[str] = "text-classification"
    head: ClassVar[type] = SequenceHead
    does: ClassVar[str] = "classify texts"
    own: ClassVar[tuple[str, ...]] = ("max_length",)

    def __init__(self, model: Model, tokenizer: Tokenizer, *, max_length: int | None = None) -> None:
        super().__init__(model, tokenizer)
        self._task = SequenceTask(problem_of(model.config), DataSettings(max_length=max_length))
        self._said = False
        config = model.config
        if config.num_labels == 1 and config.problem_type is None and stored_activation(config) is None:
            log.warning(
                "config.json does not say whether the one output of this model is a probability: it is given "
                'as it is, without a sigmoid (say "problem_type": "regression", or an activation)'
            )

    @property
    def is_number(self) -> bool:
        """True if an answer is a number, and no probability."""
        return self._task.problem == "regression" and stored_activation(self.model.config) != "Sigmoid"

    def __call__(
        self,
        texts: str | Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        threshold: float | None = None,
        truncation: bool = True,
    ) -> list[Prediction]:
        """Predictions in the order of `texts`, whose results do not depend on each other.

        Parameters
        ----------
        texts : str or sequence of str
        pairs : sequence of str, optional
            The second text of each, for a model of pairs.
        threshold : float, optional
            A probability, below which a label is not given; see `Prediction`. By default what the model's
            config says ("none_threshold", of intents); else one half for many labels, and nothing for one.
        truncation : bool
            Without it a text longer than the model takes is an InputError.

        Raises
        ------
        ConfigError
            Two labels have one name.
        InputError
            What is no text, or one that is too long.
        UsageError
            A threshold that is no probability, or for a regression.
        """
        texts = as_texts("texts", texts, one=True)
        if pairs is not None and len(pairs := as_texts("pairs", pairs, one=True)) != len(texts):
            raise InputError(f"{len(texts)} texts but {len(pairs)} second texts")
        if threshold is None:
            threshold = None if self.is_number else stored_threshold(self.model.config)
        elif self.is_number:
            raise UsageError("a model of a number has no threshold")
        else:
            check_number("the threshold, a probability,", threshold, 0, 1)
        self._say_pairs(pairs is not None)
        parts = self._task.answers(self.model, self.tokenizer, texts, pairs, truncation=truncation)
        return [prediction for part in parts for prediction in self._predictions(part, threshold)]

    def _say_pairs(self, pairs: bool) -> None:
        """A warning, once, for texts alone where pairs were learnt, or the reverse."""
        learnt = Learnt.of(self.model.config).pairs
        if learnt not in (None, pairs) and not self._said:
            given, other = ("pairs of texts", "texts alone") if pairs else ("texts alone", "pairs of texts")
            log.warning("these are %s, and the model learnt from %s: its answers mean little", given, other)
            self._said = True

    def _predictions(self, scores: npt.NDArray[np.float64], threshold: float | None) -> list[Prediction]:
        names, many = label_names(self.model.config), self._task.problem == "multi"
        if many and threshold is None:
            threshold = 0.5
        predictions = []
        for row, best in zip(scores.tolist(), scores.argmax(1).tolist(), strict=True):
            if many:
                label = ", ".join(name for name, value in zip(names, row, strict=True) if value >= threshold)
            else:
                label = NONE if threshold is not None and row[best] < threshold else names[best]
            predictions.append(Prediction(label, row[best], dict(zip(names, row, strict=True))))
        return predictions

"""Objective of a student: a weighted sum of terms, against a teacher and against labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_type
from minidistil.batch import Batch
from minidistil.distill.score_terms import label_order, word_terms
from minidistil.distill.term import Gradients, Pair, Term, TermInputs
from minidistil.distill.terms import RENAMED, TERMS
from minidistil.errors import ConfigError, InputError
from minidistil.model.model import Model
from minidistil.ops.dropout import Dropout
from minidistil.parameters import Parameters
from minidistil.settings import build
from minidistil.text.batching import TOKENS_AT_ONCE, sorted_batches
from minidistil.train.objective import LabelLoss, TrainingData, window_losses


class Distillation:
    """A weighted sum of terms, each a mean.

    The terms are in `minidistil.distill.terms`. Of them

    - soft compares the rows of the scores: sequences for a classifier, tokens for a token classifier or a
      masked LM, starts and ends for question answering, the choices of each example for multiple choice. It
      needs no labels. Labels of teacher and student are matched by their names.
    - hard is the student's own loss against the labels in the batch.
    - logits compares the scores as they are: for regression, and for labels of which any number may hold,
      whose scores no softmax compares.

    Parameters
    ----------
    student : Model
        A term with parameters of its own, such as a projection, adds them to the student's (`Model.extend`).
    weights : mapping of str to float or to mapping
        A weight for each term, or its weight and options: {"hidden": {"weight": 2, "layers": "uniform"}}.
        A term of weight 0 is not computed.
    teacher : Model, optional
        Runs on every batch, in evaluation mode. Not needed when the batches carry all that is compared:
        `teacher_logits` (or `teacher_start_logits`, `teacher_end_logits`) for `soft` and `logits`,
        `teacher_pooled` for `embedding`.
    temperature : float
        T of the soft labels.
    soft_on : {"all", "masked"}
        For a masked LM: soft labels of all tokens, or of those alone that have a label.
    class_weights : float [C], optional
        For the hard labels, see `minidistil.train.class_weights`.

    Attributes
    ----------
    teacher, labels : Model or None, LabelLoss
        The trainer checks that the teacher can read the data, and writes down the weights of the classes.
    teacher_cache : callable, optional
        Gives the teacher's outputs for a batch in the teacher's place: a `TeacherCache`.

    Raises
    ------
    ConfigError
        An unknown term or option; models that do not fit.
    """

    def __init__(
        self,
        student: Model,
        weights: Mapping[str, float | Mapping[str, Any]],
        *,
        teacher: Model | None = None,
        temperature: float = 2.0,
        soft_on: Literal["all", "masked"] = "all",
        class_weights: npt.ArrayLike | None = None,
    ) -> None:
        check_type("the student", student, Model)
        check_type("the teacher", teacher, (Model, type(None)))
        check_type("the weights of the terms", weights, Mapping)
        self.teacher, self.labels = teacher, LabelLoss(student, class_weights)
        self.pair = pair = Pair(student, teacher, self.labels, temperature, soft_on)
        self.teacher_cache: Callable[[Batch], dict[str, Any]] | None = None
        self.terms = _terms(weights)
        self.weights = {name: self.terms[name].weight for name in weights if name in self.terms}
        self._check()
        compared = {name for term in self.terms.values() if term.of_scores for name in term.carried(pair)}
        if teacher is not None and compared:
            teacher.check_trained()
        self._label_order = label_order(pair) if compared else None
        specs = [spec for term in self.terms.values() for spec in term.specs(pair)] if teacher else []
        missing = [spec for spec in specs if spec.name not in student.params]
        if missing:  # extending copies every parameter
            student.extend(missing)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{term} {w:g}' for term, w in self.weights.items())})"

    def _check(self) -> None:
        student, teacher, temperature = self.pair.student, self.pair.teacher, self.pair.temperature
        if not (isinstance(temperature, (int, float)) and temperature > 0):
            raise ConfigError(f"temperature must be positive, not {temperature!r}")
        if self.pair.soft_on not in ("all", "masked"):
            raise ConfigError(f"soft_on must be 'all' or 'masked', not {self.pair.soft_on!r}")
        if teacher is not None and teacher.config.vocab_size != student.config.vocab_size:
            raise ConfigError(
                f"the teacher has a vocabulary of {teacher.config.vocab_size}, the student of "
                f"{student.config.vocab_size}: they must share their tokenizer"
            )
        head = student.heads[0] if len(student.heads) == 1 else None
        scores = [name for name in self.weights if self.terms[name].of_scores]
        if scores and not (head and head.score_outputs):
            name = type(student).__name__
            raise ConfigError(f"{' and '.join(scores)} need a student with one task head; {name} is none")
        compared = [name for name in scores if self.terms[name].teacher_outputs(self.pair)]
        if compared and head and teacher is not None and not any(map(head.scores_alike, teacher.heads)):
            raise ConfigError(
                f"{' and '.join(compared)}: scores of a {type(student).__name__}, the student, cannot be "
                f"compared with those of a {type(teacher).__name__}, the teacher"
            )
        if self.pair.soft_on == "masked" and not (head and head.over_vocabulary):
            raise ConfigError("soft_on='masked' is for a masked LM")
        for name, term in self.terms.items():
            if term.needs_teacher and teacher is None:
                raise ConfigError(f"the term {name} needs the teacher itself")
            term.check(self.pair)

    def teacher_outputs(self) -> list[str]:
        """Outputs of the teacher that are compared, by the names of `minidistil.distill.teacher_cache`."""
        names = [
            name
            for term in self.terms.values()
            if term.of_scores or self.pair.teacher is not None
            for name in term.teacher_outputs(self.pair)
        ]
        return list(dict.fromkeys(names))

    def settings(self) -> dict[str, Any]:
        """Settings that make one objective differ from another, for a run's identity."""
        pair = self.pair
        options = {name: dataclasses.asdict(t) for name, t in self.terms.items() if not t.of_scores}
        settings = {"weights": self.weights, "temperature": pair.temperature, "terms": options}
        if self._label_order is not None:
            settings["labels"] = self._label_order.tolist()
        return settings if pair.soft_on == "all" else {**settings, "soft_on": pair.soft_on}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Items that each term averages over."""
        return {name: self.terms[name].count(batch, self.pair) for name in self.weights}

    def __call__(
        self,
        model: Model,
        batch: Batch,
        totals: Mapping[str, float],
        dropout: Dropout | None,
        grads: Parameters,
    ) -> dict[str, float]:
        scales = {name: weight / (totals[name] or 1) for name, weight in self.weights.items()}
        gradients = Gradients()
        sums, cache = self._sums(model, batch, scales, gradients, grads, dropout=dropout)
        model.backward(gradients.by_output, cache, grads)
        return sums

    def means(self, model: Model, dataset: TrainingData) -> dict[str, float]:
        """Mean of each term over examples that are not learnt from, and their weighted sum, "loss".

        Without dropout, and without a change of the model. The teacher, or its cache, answers for them too.
        """
        sums, counts = dict[str, float](), dict[str, float]()
        none, nowhere, scratch = dict.fromkeys(self.weights, 0.0), Gradients(), model.params.like()
        for indices in sorted_batches(dataset.lengths, TOKENS_AT_ONCE):
            batch = dataset.batch(indices)
            found, _ = self._sums(model, batch, none, nowhere, scratch, keep_cache=False)
            nowhere.by_output.clear()
            for name, count in self.counts(batch).items():
                counts[name] = counts.get(name, 0.0) + count
                sums[name] = sums.get(name, 0.0) + found[name]
        return window_losses(self, sums, counts)

    def _sums(
        self,
        model: Model,
        batch: Batch,
        scales: Mapping[str, float],
        gradients: Gradients,
        grads: Parameters,
        **options: Any,
    ) -> tuple[dict[str, float], Any]:
        """Sums of the terms, and the cache of the student's pass; options as of `Model.forward`."""
        # Words are too many to hold a score for each: student and teacher stop at "features".
        words = any(head.over_vocabulary for head in model.heads) and "teacher_logits" not in batch.targets
        asked: dict[str, Any] = {output: True for term in self.terms.values() for output in term.requires}
        outputs, cache = model.forward(batch, logits=not words, **asked, **options)
        teacher = self._teacher_outputs(batch, logits=not words, **asked)
        inputs = TermInputs(batch, outputs, teacher, self.pair, grads)
        sums = word_terms(self.terms, inputs, scales, gradients) if words else {}
        for name, term in self.terms.items():
            if name not in sums:
                sums[name] = term(inputs, scales[name], gradients)
        return sums, cache

    def _teacher_outputs(self, batch: Batch, **asked: Any) -> dict[str, Any]:
        """Outputs that the batch carries; else those in the cache, or those of the teacher itself."""
        prefix, terms, teacher = "teacher_", self.terms.values(), self.pair.teacher
        carried = {
            name.removeprefix(prefix): np.asarray(values)
            for name, values in batch.targets.items()
            if name.startswith(prefix)
        }
        missing = {name for term in terms for name in term.carried(self.pair)} - carried.keys()
        if not missing and not any(term.needs_teacher for term in terms):
            return carried
        if self.teacher_cache is not None:
            outputs = self.teacher_cache(batch)
        elif teacher is not None:
            outputs = teacher.forward(batch, keep_cache=False, **asked)[0]
        else:
            names = " and ".join(f"`{prefix}{name}`" for name in sorted(missing))
            raise InputError(f"this objective needs a teacher, or {names} in the batch")
        if self._label_order is not None and "logits" in outputs:
            outputs = {**outputs, "logits": outputs["logits"][:, self._label_order]}
        return outputs | carried


def _terms(weights: Mapping[str, float | Mapping[str, Any]]) -> dict[str, Term]:
    """Terms that have a weight, in the order in which they are added up."""
    terms: dict[str, Term] = {}
    known = f"there are: {', '.join(TERMS)}"
    for name, given in weights.items():
        if name not in TERMS:
            now = f"the term {name} is now called {RENAMED[name]}" if name in RENAMED else ""
            raise ConfigError(now or f"there is no term {name!r}; {known}")
        options = given if isinstance(given, Mapping) else {"weight": given}
        term = build(TERMS[name], options, f"term {name}")
        number = isinstance(term.weight, (int, float, np.integer, np.floating))
        if not (number and np.isfinite(term.weight) and term.weight >= 0):
            raise ConfigError(f"the weight of {name} must be a number >= 0, not {term.weight!r}")
        if term.weight:
            terms[name] = term
    if not terms:
        raise ConfigError(f"no term has a weight; {known}")
    return dict(sorted(terms.items(), key=lambda item: item[1].order))

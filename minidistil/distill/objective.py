"""What a student minimises: soft labels, hard labels, and what inside of it is to be like its teacher."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_type
from minidistil.batch import Batch
from minidistil.distill.terms import TERMS, Given, Gradients, Term
from minidistil.errors import ConfigError, InputError
from minidistil.losses import IGNORE_INDEX, logits_mse, soft_label_kl
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.model.targets import class_target, target
from minidistil.ops.dropout import Dropout
from minidistil.ops.linear_cross_entropy import LinearHead, TopKLogits
from minidistil.parameters import Parameters
from minidistil.settings import build
from minidistil.train.class_weights import WeightedClasses

Array = npt.NDArray[np.floating[Any]]
SCORES = ("soft", "hard", "logits")  # terms of the heads' scores
NAMES = (*SCORES, *TERMS)


def needs_labels(weights: Mapping[str, float | Mapping[str, Any]]) -> bool:
    """Whether `Distillation` with these weights needs the labels of the data."""
    return any(weight_of(weights.get(name, 0)) for name in ("hard", "triplet"))


def weight_of(given: float | Mapping[str, Any]) -> Any:
    """The weight of a term that is given as one, or with its options."""
    return given.get("weight", Term.weight) if isinstance(given, Mapping) else given


class Distillation:
    """A weighted sum of terms, each a mean.

    - soft: T^2 KL(teacher || student) at temperature T over the rows of the scores: sequences for a
      classifier, tokens for a token classifier or a masked LM, starts and ends for question answering,
      the choices of each example for multiple choice. It needs no labels.
      Labels of teacher and student are matched by their names.
    - hard: the student's own loss against the labels in the batch.
    - logits: squared difference of the scores as they are; for regression, and for labels of which any number
      may hold, whose scores no softmax compares.
    - cosine, hidden, patient, attention, relations, embedding, triplet: see `minidistil.distill.terms`.

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
        Of the hard labels, see `minidistil.train.class_weights`.

    Attributes
    ----------
    outputs : callable, optional
        Gives the teacher's outputs for a batch in the teacher's place, such as a `TeacherCache`.

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
        self.classes = None if class_weights is None else WeightedClasses(student, class_weights)
        self.student, self.teacher, self.temperature, self.soft_on = student, teacher, temperature, soft_on
        self.outputs: Callable[[Batch], dict[str, Any]] | None = None
        self.weights: dict[str, float] = {}
        self.terms: dict[str, Term] = {}
        self._read(weights)
        self._check()
        if teacher is not None and self._scores():
            teacher.check_trained()
        self._order = self._columns()
        wanted = (
            [] if teacher is None else [s for t in self.terms.values() for s in t.specs(student, teacher)]
        )
        missing = [spec for spec in wanted if spec.name not in student.params]
        if missing:  # extending copies every parameter
            student.extend(missing)

    def _read(self, weights: Mapping[str, float | Mapping[str, Any]]) -> None:
        for name, given in weights.items():
            if name not in NAMES:
                raise ConfigError(f"there is no term {name!r}; there are: {', '.join(NAMES)}")
            options = given if isinstance(given, Mapping) else {"weight": given}
            term = build(TERMS.get(name, Term), options, f"term {name}")
            number = isinstance(term.weight, (int, float, np.integer, np.floating))
            if not (number and np.isfinite(term.weight) and term.weight >= 0):
                raise ConfigError(f"the weight of {name} must be a number >= 0, not {term.weight!r}")
            if term.weight:
                self.weights[name] = term.weight
                if name in TERMS:
                    self.terms[name] = term
        if not self.weights:
            raise ConfigError(f"no term has a weight; there are: {', '.join(NAMES)}")

    def _check(self) -> None:
        student, teacher = self.student, self.teacher
        if not (isinstance(self.temperature, (int, float)) and self.temperature > 0):
            raise ConfigError(f"temperature must be positive, not {self.temperature!r}")
        if self.soft_on not in ("all", "masked"):
            raise ConfigError(f"soft_on must be 'all' or 'masked', not {self.soft_on!r}")
        if teacher is not None and teacher.config.vocab_size != student.config.vocab_size:
            raise ConfigError(
                f"the teacher has a vocabulary of {teacher.config.vocab_size}, the student of "
                f"{student.config.vocab_size}: they must share their tokenizer"
            )
        scores = [name for name in SCORES if name in self.weights]
        name = type(student).__name__
        head = student.heads[0] if len(student.heads) == 1 else Head()
        if scores and not head.score_outputs:
            raise ConfigError(f"{' and '.join(scores)} need a student with one task head; {name} is none")
        if "soft" in self.weights:
            if not head.by_token and len(head.classes(student.config)) == 1:
                raise ConfigError("soft labels are for classes; for a regression use the term logits")
            kinds = {model.config.problem_type for model in (student, teacher) if model is not None}
            if "multi_label_classification" in kinds:
                raise ConfigError(
                    "soft labels are one class of several; for several labels use the term logits"
                )
        if "logits" in self.weights and not head.classes(student.config):
            raise ConfigError(f"the logits term is for classifiers and regression; {name} is neither")
        if self.soft_on == "masked" and not head.over_vocabulary:
            raise ConfigError("soft_on='masked' is for a masked LM")
        for name, term in self.terms.items():
            if term.inside and teacher is None:
                raise ConfigError(f"the term {name} needs the teacher itself")
            term.check(student, teacher)

    def _columns(self) -> npt.NDArray[np.intp] | None:
        """Indices of the student's labels among the teacher's; None if they are in the same order.

        Raises
        ------
        ConfigError
            Another number of labels, or labels of other names. LABEL_0, LABEL_1, ..., which a config has that
            was not told any, are no names.
        """
        student, teacher = self.student, self.teacher
        if teacher is None or not self.weights.keys() & {"soft", "logits"}:
            return None
        heads = student.heads[0], teacher.heads[0] if teacher.heads else Head()
        ours, theirs = (h.classes(m.config) for h, m in zip(heads, (student, teacher), strict=True))
        if not (ours and theirs) or heads[0].by_token != heads[1].by_token:
            return None
        if len(ours) != len(theirs):
            raise ConfigError(
                f"the teacher has {len(theirs)} labels ({', '.join(theirs[:8])}), the student {len(ours)} "
                f"({', '.join(ours[:8])}): give the student's config the teacher's id2label"
            )
        unnamed = [f"LABEL_{i}" for i in range(len(ours))]
        if ours == theirs or len(ours) == 1 or unnamed in (ours, theirs):
            return None
        if sorted(ours) != sorted(theirs):
            raise ConfigError(
                f"the teacher's labels are {', '.join(theirs[:8])}, the student's {', '.join(ours[:8])}: "
                "give the student's config the teacher's id2label"
            )
        return np.array([theirs.index(label) for label in ours])

    def compared(self) -> list[str]:
        """Which of the teacher's outputs are compared, by the names of `minidistil.distill.teacher_cache`."""
        names = self._scores()
        if names and self.student.heads[0].over_vocabulary:
            names = ["features"]
        if self.teacher is not None:
            names += [n for t in self.terms.values() for n in t.compares(self.student, self.teacher)]
        return list(dict.fromkeys(names))

    def _scores(self) -> list[str]:
        """Which scores of the heads are compared."""
        if not self.weights.keys() & {"soft", "logits"}:
            return []
        return list(self.student.heads[0].score_outputs)

    def settings(self) -> dict[str, Any]:
        """What makes one objective differ from another, for a run's identity."""
        options = {name: dataclasses.asdict(term) for name, term in self.terms.items()}
        settings = {"weights": self.weights, "temperature": self.temperature, "terms": options}
        if self._order is not None:
            settings["labels"] = self._order.tolist()
        return settings if self.soft_on == "all" else {**settings, "soft_on": self.soft_on}

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows of scores, the student's own count, and what each other term counts."""
        counts: dict[str, float] = {}
        for name in self.weights:
            if name == "hard" and self.classes is not None:
                counts[name] = self.classes.count(batch)
            elif name == "hard":
                counts[name] = sum(self.student.loss_counts(batch).values())
            elif name in SCORES:
                counts[name] = self._rows(batch)
            else:
                counts[name] = self.terms[name].count(batch)
        return counts

    def _rows(self, batch: Batch) -> int:
        """Rows of the scores that soft labels are compared in."""
        if self.soft_on == "masked":
            labels = class_target(batch, "labels", batch.num_tokens, self.student.config.vocab_size)
            return int((labels != IGNORE_INDEX).sum())
        return self.student.heads[0].num_score_rows(batch)

    def __call__(
        self,
        model: Model,
        batch: Batch,
        totals: Mapping[str, float],
        dropout: Dropout | None,
        grads: Parameters,
    ) -> dict[str, float]:
        scales = {term: weight / totals[term] for term, weight in self.weights.items()}
        # Words are too many to keep a score for each: student and teacher stop before, and meet in chunks.
        words = any(head.over_vocabulary for head in model.heads)
        words = words and "teacher_logits" not in batch.targets
        needs: dict[str, Any] = {name: True for term in self.terms.values() for name in term.needs}
        outputs, cache = model.forward(batch, dropout=dropout, logits=not words, **needs)
        given = self._teacher_outputs(batch, logits=not words, **needs)
        gradients = Gradients()
        if words and scales.keys() & {"soft", "hard"}:
            sums, grad = self._over_words(model, batch, outputs, given, scales, grads)
            gradients.add("features", grad)
        else:
            sums = self._over_scores(model, batch, outputs, given, scales, gradients, grads)
        seen = Given(batch, outputs, given, model, self.teacher, grads)
        for name, term in self.terms.items():
            sums[name] = term(seen, scales[name], gradients)
        model.backward(gradients.by_output, cache, grads)
        return sums

    def _over_scores(
        self,
        model: Model,
        batch: Batch,
        outputs: Mapping[str, Any],
        given: Mapping[str, Any],
        scales: Mapping[str, float],
        gradients: Gradients,
        grads: Parameters,
    ) -> dict[str, float]:
        """The terms of a head whose scores are few enough to hold."""
        sums: dict[str, float] = {}
        if "soft" in scales:
            sums["soft"] = 0.0
            for name in self._scores():
                ours, theirs = (model.heads[0].score_rows(z, batch) for z in (outputs[name], given[name]))
                soft = soft_label_kl(ours, theirs, temperature=self.temperature)
                gradients.add(name, model.heads[0].from_score_rows(soft.grad, batch) * scales["soft"])
                sums["soft"] += soft.sum
        if "logits" in scales:
            near = logits_mse(outputs["logits"], given["logits"])
            gradients.add("logits", near.grad * scales["logits"])
            sums["logits"] = near.sum
        if "hard" in scales and self.classes is not None:
            weighted = self.classes(outputs["logits"], batch)
            sums["hard"] = weighted.sum
            gradients.add("logits", weighted.grad * scales["hard"])
        elif "hard" in scales:
            terms = dict.fromkeys(model.loss_counts(batch), scales["hard"])
            hard = model.losses(dict(outputs), batch, terms, grads)
            sums["hard"] = sum(hard.sums.values())
            for output, grad in hard.douts.items():
                gradients.add(output, grad)
        return sums

    def _over_words(
        self,
        model: Model,
        batch: Batch,
        outputs: Mapping[str, Any],
        given: Mapping[str, Any],
        scales: Mapping[str, float],
        grads: Parameters,
    ) -> tuple[dict[str, float], Any]:
        """The soft and hard terms of a masked-LM student, and their gradient by its features."""
        head: Any = model.heads[0]
        teacher = self.teacher
        features = outputs["features"]
        labels = target(batch, "labels") if "hard" in scales or self.soft_on == "masked" else None
        rows = np.flatnonzero(labels != IGNORE_INDEX) if self.soft_on == "masked" else slice(None)
        theirs: LinearHead | TopKLogits | None = None
        if "top_k" in given and "soft" in scales:
            likeliest, their_scores = given["top_k"]
            theirs = TopKLogits(likeliest[rows], their_scores[rows], model.config.vocab_size)
        elif "soft" in scales:
            assert teacher is not None
            their_head: Any = teacher.heads[0]
            names = their_head.decoder_names(teacher.config)
            theirs = LinearHead(given["features"][rows], *teacher.params.linear(*names))
        weight, bias = head.decoder_names(model.config)
        sums, dfeatures, _, _ = model.backend.linear_cross_entropy(
            features[rows],
            *model.params.linear(weight, bias),
            labels=labels[rows] if labels is not None and "hard" in scales else None,
            label_scale=scales.get("hard", 0.0),
            teacher=theirs,
            soft_scale=scales.get("soft", 0.0),
            temperature=self.temperature,
            dweight=grads[weight],
            dbias=grads[bias],
        )
        if self.soft_on == "masked":
            some, dfeatures = dfeatures, np.zeros_like(features)
            dfeatures[rows] = some
        asked = {"hard": sums.labels, "soft": sums.soft}
        return {term: value for term, value in asked.items() if term in scales}, dfeatures

    def _teacher_outputs(self, batch: Batch, **asked: Any) -> dict[str, Any]:
        """What the batch carries; else what is kept of the teacher, or the teacher itself."""
        carried = {n[8:]: np.asarray(v) for n, v in batch.targets.items() if n.startswith("teacher_")}
        inside = any(term.inside for term in self.terms.values())
        wanted = set(self._scores())
        if "embedding" in self.terms:
            wanted.add("pooled")
        if not inside and wanted <= carried.keys():
            return carried
        if self.outputs is not None:
            return self._as_ours(self.outputs(batch)) | carried
        if self.teacher is None:
            missing = " and ".join(f"`teacher_{name}`" for name in sorted(wanted - carried.keys()))
            raise InputError(f"this objective needs a teacher, or {missing} in the batch")
        return self._as_ours(self.teacher.forward(batch, keep_cache=False, **asked)[0]) | carried

    def _as_ours(self, said: dict[str, Any]) -> dict[str, Any]:
        """The teacher's outputs, their scores in the order of the student's labels."""
        if self._order is None or "logits" not in said:
            return said
        return {**said, "logits": said["logits"][:, self._order]}

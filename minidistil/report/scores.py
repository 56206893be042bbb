"""Scores of a model on one sequence, as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.model.context import Cache
from minidistil.model.heads import Head
from minidistil.model.model import Model
from minidistil.model.token_heads import ReplacedTokenHead
from minidistil.ops.softmax import softmax_forward
from minidistil.report.maps import HeatMap, packed

ALL = 64  # classes that are all shown
MOST = 10  # of more, so many of the likeliest
LEAST_T, MOST_T, STEP_T = 0.5, 10.0, 0.1  # of the slider of temperatures

Kind = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of one head, a row for each softmax.

    Attributes
    ----------
    rows : sequence of str
        Names of the rows: "the text", tokens, or places.
    classes : sequence of str
        Names of the C classes, tokens or words.
    logits : float32 [R, C]
    places : sequence of (str, tuple)
        Of each row, its output of the model and its index there.
    kind : {"softmax", "sigmoid", "none"}
        Function that makes probabilities of scores, if any does.
    matrix : bool
        Many rows over the same few classes: shown as one map.
    complete : bool
        All rows that the head has are here.
    """

    rows: Sequence[str]
    classes: Sequence[str]
    logits: Array
    places: Sequence[tuple[str, tuple[int, ...]]]
    kind: Kind
    matrix: bool = False
    complete: bool = True

    def probabilities(self, temperature: float = 1.0) -> Array:
        """Probabilities [R, C] in float64."""
        scores = self.logits.astype(np.float64) / temperature
        if self.kind == "sigmoid":
            return np.asarray(0.5 * (1 + np.tanh(scores / 2)))
        return softmax_forward(scores)[0]

    def reordered(self, order: npt.NDArray[np.intp] | None) -> Self:
        """The same with class `order[k]` as class k."""
        if order is None:
            return self
        return replace(self, classes=[self.classes[k] for k in order], logits=self.logits[:, order])

    def shown(self, row: int) -> list[int]:
        """Classes of a row that are shown: few in their order; of many, and of words, the likeliest."""
        if self.complete and len(self.classes) <= ALL:
            return list(range(len(self.classes)))
        best: list[int] = np.argsort(-self.logits[row], kind="stable")[:MOST].tolist()
        return best

    @property
    def maps(self) -> list[HeatMap]:
        """Scores and probabilities."""
        chances = self.probabilities().astype(np.float32) if self.kind != "none" else None
        if self.matrix:
            found = [("Scores", self.logits, None), ("Probabilities", chances, 1.0)]
            return [
                HeatMap(title, self.rows, self.classes, values, between=" as ", full=full)
                for title, values, full in found
                if values is not None
            ]
        maps = []
        for r, name in enumerate(self.rows):
            some = self.shown(r)
            columns = {"score": self.logits[r, some]}
            if chances is not None:
                columns["probability"] = chances[r, some]
            names = [self.classes[k] for k in some]
            values = np.stack(list(columns.values()), axis=1)
            maps.append(
                HeatMap(
                    f"Scores of {name}",
                    names,
                    list(columns),
                    values,
                    between=" has the ",
                    scale="column",
                    text=True,
                )
            )
        return maps


def scores_of(
    model: Model,
    outputs: Mapping[str, Any],
    tokens: Sequence[str],
    words: Sequence[str],
    masks: Sequence[int],
) -> list[Scores]:
    """Scores of each head.

    Parameters
    ----------
    model : Model
    outputs : mapping
        Of a forward pass on one sequence.
    tokens : sequence of str
        Its tokens.
    words : sequence of str
        The vocabulary.
    masks : sequence of int
        Places of the tokens of which a masked LM's scores are shown.
    """
    found = []
    places: list[tuple[str, tuple[int, ...]]]
    for head in model.heads:
        if not head.score_outputs or (head.over_vocabulary and not masks):
            continue
        values = [np.asarray(outputs[name]) for name in head.score_outputs]
        if head.over_vocabulary:
            rows = [f"{tokens[i]} at place {i}" for i in masks]
            places = [(head.score_outputs[0], (i,)) for i in masks]
            logits = values[0][list(masks)]
            found.append(Scores(rows, words, logits, places, "softmax", complete=False))
        elif head.by_token and head.classes():
            places = [(head.score_outputs[0], (i,)) for i in range(len(tokens))]
            found.append(Scores(tokens, head.classes(), values[0], places, "softmax", matrix=True))
        elif isinstance(head, ReplacedTokenHead):  # a yes or no for each token
            places = [(head.score_outputs[0], ())]
            found.append(Scores(["being replaced"], tokens, values[0][None], places, "sigmoid"))
        elif head.by_token:  # starts and ends: a softmax over the tokens
            rows = [f"the {name.removesuffix('_logits')} of an answer" for name in head.score_outputs]
            places = [(name, ()) for name in head.score_outputs]
            found.append(Scores(rows, tokens, np.stack(values), places, "softmax"))
        else:
            logits = values[0].reshape(1, -1)
            places = [(head.score_outputs[0], (0,) * (values[0].ndim - 1))]
            names = head.classes() if len(head.classes()) == logits.shape[1] else ["score"]
            found.append(Scores(["the text"], names, logits, places, _kind(model, head, logits)))
    return found


def _kind(model: Model, head: Head, logits: Array) -> Kind:
    if head.over_choices or logits.shape[1] == 1 or model.config.problem_type == "regression":
        return "none"
    return "sigmoid" if model.config.problem_type == "multi_label_classification" else "softmax"


def dependence(
    model: Model, outputs: Mapping[str, Any], cache: Cache, scores: Sequence[Scores], tokens: Sequence[str]
) -> HeatMap | None:
    """Dependence of the likeliest class of each row on each token: the norm of a gradient.

    It is that of the class's logit by the token's embedding, before its norm. No other token has its row of
    the table of positions, so the gradient of the row is that of the token.

    Parameters
    ----------
    model : Model
    outputs, cache
        Of a forward pass on one sequence.
    scores : sequence of Scores
    tokens : sequence of str

    Returns
    -------
    HeatMap or None
        None without scores.
    """
    position, grads = model.encoder.embeddings.position, model.params.like()
    rows, drows = position.ids_of(cache.batch), grads[position.name]
    names, norms = [], []
    for some in scores:
        for r, (output, place) in enumerate(some.places):
            best = int(some.logits[r].argmax())
            dout = np.zeros_like(outputs[output])
            dout[(*place, best)] = 1
            drows[...] = 0
            model.backward({output: dout}, cache, grads)
            norms.append(np.linalg.norm(drows[rows].astype(np.float64), axis=1))
            name = some.classes[best]
            names.append(name if len(some.rows) == 1 else f"{name}, {some.rows[r]}")
    if not names:
        return None
    return HeatMap(
        "Norm of the gradient of the likeliest class's logit by each token's embedding",
        names, tokens, np.stack(norms).astype(np.float32), between=", by ", scale="row",
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class SoftScores:
    """Scores of a student and its teacher, whose softmax is taken at a temperature.

    Attributes
    ----------
    student, teacher : Scores
        Over the same rows and classes.
    temperature : float
        Of the objective, where the slider stands at first.
    """

    student: Scores
    teacher: Scores
    temperature: float

    def _shown(self, row: int) -> list[int]:
        """Classes of a row that are shown: the teacher's, then others of the student's."""
        return list(dict.fromkeys(self.teacher.shown(row) + self.student.shown(row)))

    @property
    def table(self) -> list[tuple[str, float, float]]:
        """Class, and its probability from teacher and student, in the first row."""
        some = self._shown(0)
        theirs, ours = (side.probabilities(self.temperature)[0] for side in (self.teacher, self.student))
        return [(self.student.classes[k], float(theirs[k]), float(ours[k])) for k in some]

    @property
    def data(self) -> dict[str, Any]:
        """All of it for the script."""
        T, rows = self.temperature, self.student.rows
        shown = [self._shown(row) for row in range(len(rows))]
        tenths = round(10 * T) == 10 * T
        return {
            "rows": [f"{i} {name}" for i, name in enumerate(rows)] if self.student.matrix else list(rows),
            "shown": shown,
            "classes": [[self.student.classes[k] for k in some] for some in shown],
            "student": packed(self.student.logits), "teacher": packed(self.teacher.logits),
            "temperature": T, "least": min(T, LEAST_T), "most": max(T, MOST_T),
            "step": STEP_T if tenths and LEAST_T <= T <= MOST_T else "any",
            "complete": self.student.complete,
        }  # fmt: skip

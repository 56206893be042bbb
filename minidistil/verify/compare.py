"""Compare two models, or a model and what another implementation computed, tensor by tensor.

Everything observable is put under one name: the embeddings, every layer, the outputs, the loss, every
gradient. Two such collections are compared in the order in which a run makes them, so that the first
divergence points at the operation at fault and not at what it spoiled further on.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from minidistil.arrays import AnyArray
from minidistil.batch import Batch
from minidistil.errors import InputError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.model.model import Model
from minidistil.ops.philox import normal

Activations = dict[str, AnyArray]

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
# The target that the loss compares each output with.
TARGETS = {
    "logits": "labels",
    "prediction_logits": "labels",
    "seq_relationship_logits": "next_sentence_label",
    "start_logits": "start_positions",
    "end_logits": "end_positions",
}
OUTPUTS = ("last_hidden_state", "pooler_output", *TARGETS)
STATE, COTANGENT, GRADIENT = "hidden_states.", "cotangent.", "grad."
SEED = 20191002  # of cotangents; any number would do


@dataclass(frozen=True)
class TensorComparison:
    """Distance of one tensor of A from that of B.

    Attributes
    ----------
    name : str
    max_abs : float
        Largest |a - b|.
    relative : float
        |a - b| / |b| in the Euclidean norm. Gradients that are zero on both sides but for rounding (at
        most the tolerance times the largest gradient) are measured against that largest one.
    cosine : float
        Of the angle between the two as vectors; 1 where both are zero, or zero but for rounding.
    passed : bool
        `relative` is within the tolerance. NaN is not, nor are two different shapes.
    shapes : pair of shapes, or None
        Given only where they differ.
    """

    name: str
    max_abs: float
    relative: float
    cosine: float
    passed: bool
    shapes: tuple[tuple[int, ...], tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Comparison:
    """All tensors that both sides have, in the order a run makes them, and the names only one has.

    `other_loss` says that loss and gradients were left out, as the two sides had different targets.
    """

    tensors: tuple[TensorComparison, ...]
    only_in_a: tuple[str, ...]
    only_in_b: tuple[str, ...]
    other_loss: bool
    tolerance: float

    @property
    def first_divergence(self) -> str | None:
        """Name of the first tensor beyond the tolerance."""
        return next((t.name for t in self.tensors if not t.passed), None)

    @property
    def passed(self) -> bool:
        return self.first_divergence is None


def capture(
    model: Model, given: Mapping[str, AnyArray], *, label: Sequence[int] | None = None
) -> Activations:
    """Run a model forward and backward in evaluation mode and collect every tensor by name.

    Of a bare encoder whose file has no pooler, what comes from the pooler is left out.

    Parameters
    ----------
    model : Model
    given : mapping
        `input_ids` [B, L], and as far as wanted the other `INPUTS`. The gradient is that of the model's own
        loss if a target is given (`labels`, `start_positions`, ... as in transformers), or that of
        sum(output * cotangent) if a `cotangent.<output>` is. With neither, the targets are what the model
        itself predicts; models without a loss get fixed random cotangents.
    label : sequence of int, optional
        The class of each sequence, or of all, for a sequence classifier's loss.

    Returns
    -------
    dict of str to array
        The inputs, targets and cotangents used; `hidden_states.0` (the embeddings) to `hidden_states.L`
        [B, L, H]; the outputs, `loss`, and `grad.<parameter>`. Rectangular, zero on padding.

    Raises
    ------
    InputError
        No `input_ids`, or values the model cannot run.
    UsageError
        A `label` for a model that has no use for it.
    WeightsError
        Nobody has trained the model's head.
    """
    model.check_trained([head for head in model.heads if head.score_outputs])
    untrained = model.untrained()
    if "input_ids" not in given:
        raise InputError("the reference holds no input_ids, and no text was given to make them from")
    inputs = {name: given[name] for name in INPUTS if name in given}
    batch = model.pack(**inputs)
    outputs, cache = model.forward(batch, hidden_states=True)
    states = outputs.pop("hidden_states")
    if untrained:
        outputs.pop("pooler_output")
    by_token = token_outputs(model)
    found: Activations = {**inputs, "attention_mask": batch.unpack(np.ones(batch.num_tokens, np.int64))}
    found |= {f"{STATE}{i}": batch.unpack(state) for i, state in enumerate(states)}
    found |= {name: batch.unpack(o) if name in by_token else o for name, o in outputs.items()}
    if batch.cu_choices is not None:  # [B, C, L]: scores and mask as they are given, states of B * C rows
        found["attention_mask"] = found["attention_mask"].reshape(np.shape(given["input_ids"]))
        found["logits"] = batch.unpack_choices(found["logits"])

    targets = {t: given[t] for output, t in TARGETS.items() if output in outputs and t in given}
    cotangents = {k: given[COTANGENT + k] for k in outputs if COTANGENT + k in given}
    cotangents = {k: u for k, u in cotangents.items() if u.shape == found[k].shape}
    if label is not None:
        targets = {"labels": labels_for(model, outputs, batch, label)}
    elif not targets and not cotangents:
        targets = predicted_targets(model, outputs, batch)
        if not targets:
            cotangents = {k: normal(found[k].shape, SEED, OUTPUTS.index(k)) for k in outputs}
    douts: dict[str, AnyArray] = {}
    if targets:
        batch = model.pack(**inputs, **targets)
        scales = {term: 1 / max(count, 1) for term, count in model.loss_counts(batch).items()}
        terms = model.losses(outputs, batch, scales)
        found |= targets | {"loss": np.array(sum(scales[t] * value for t, value in terms.sums.items()))}
        douts = terms.douts
    else:
        found |= {COTANGENT + name: value for name, value in cotangents.items()}
        douts = {
            name: _as_output(u, batch, name in by_token).astype(model.params.dtype)
            for name, u in cotangents.items()
        }
    grads = model.params.like()
    model.backward(douts, cache, grads)
    return found | {GRADIENT + name: grads[name] for name in reversed(list(grads)) if name not in untrained}


def _as_output(given: AnyArray, batch: Batch, by_token: bool) -> AnyArray:
    """Rectangular values as the rows of an output."""
    if by_token:
        return batch.pack(given)
    return given if batch.cu_choices is None else batch.pack_choices(given)


def token_outputs(model: Model) -> set[str]:
    """Names of the outputs with a row for each token."""
    return {"last_hidden_state"}.union(*(head.token_outputs for head in model.heads))


def labels_for(model: Model, outputs: Mapping[str, AnyArray], batch: Batch, label: Sequence[int]) -> AnyArray:
    """[B] labels from the command line: one for each sequence, or one for all."""
    logits = outputs.get("logits")
    if logits is None or "logits" in token_outputs(model) or model.over_choices:
        raise UsageError(f"a label is for models that classify sequences, not for {type(model).__name__}")
    if len(label) not in (1, batch.num_sequences):
        raise UsageError(f"{len(label)} labels for {batch.num_sequences} texts; give one, or one for each")
    for i in label:
        if not 0 <= i < logits.shape[1]:
            raise UsageError(f"label {i} is none of the model's classes 0 to {logits.shape[1] - 1}")
    return np.broadcast_to(np.array(label, np.int64), batch.num_sequences).copy()


def predicted_targets(model: Model, outputs: Mapping[str, AnyArray], batch: Batch) -> dict[str, AnyArray]:
    """Predictions of a model, as targets of its own loss: a gradient that needs no labelled data.

    Texts are no choices of one another, so there are none for multiple choice.
    """
    if model.over_choices:
        return {}
    spans = [slice(a, b) for a, b in zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True)]
    by_token = token_outputs(model)
    targets: dict[str, AnyArray] = {}
    for name, target in TARGETS.items():
        if name not in outputs:
            continue
        scores = outputs[name]
        if target.endswith("_positions"):
            targets[target] = np.array([int(scores[span].argmax()) for span in spans])
        elif name in by_token:
            targets[target] = batch.unpack(scores.argmax(-1), fill=IGNORE_INDEX)
        elif name == "logits" and model.config.problem_type == "multi_label_classification":
            targets[target] = (scores > 0).astype(np.float64)
        elif name == "logits" and scores.shape[1] == 1:  # regression: its own prediction would cost nothing
            targets[target] = np.zeros(batch.num_sequences)
        else:
            targets[target] = scores.argmax(-1)
    return targets


def questions(activations: Mapping[str, AnyArray]) -> Activations:
    """Inputs, targets and cotangents in `capture`'s result, from which another side computes the same."""
    wanted = (*INPUTS, *TARGETS.values())
    return {k: v for k, v in activations.items() if k in wanted or k.startswith(COTANGENT)}


def compare(a: Mapping[str, AnyArray], b: Mapping[str, AnyArray], *, tolerance: float) -> Comparison:
    """Compare all tensors that both sides have, except the inputs.

    Parameters
    ----------
    a, b : mappings
        From `capture`, or read from a file. Where one has an `attention_mask`, what stands on padding is
        left out: other implementations leave noise there.
    tolerance : float
        Largest `relative` that passes.

    Raises
    ------
    InputError
        The two have no tensor in common, or were run on different inputs.
    """
    for name in INPUTS:
        if name in a and name in b and not np.array_equal(a[name], b[name]):
            raise InputError(f"the two sides were run on different {name}; nothing else can be compared")
    asked = questions(a).keys() | questions(b).keys()
    other_loss = any(
        name not in a or name not in b or not np.array_equal(a[name], b[name]) for name in asked - {*INPUTS}
    )

    def comparable(side: Mapping[str, AnyArray]) -> list[str]:
        names = [name for name in side if name not in asked]
        if other_loss:
            names = [name for name in names if name != "loss" and not name.startswith(GRADIENT)]
        return sorted(names, key=order)

    in_a, in_b = comparable(a), comparable(b)
    shared = [name for name in in_a if name in b]
    if not shared:
        left_out = "; loss and gradients are left out, as the targets differ" if other_loss else ""
        raise InputError(
            f"the two sides have no tensor in common that can be compared{left_out}. "
            f"A has {with_nearest(in_a, in_b)}. B has {with_nearest(in_b, in_a)}"
        )
    mask = a.get("attention_mask", b.get("attention_mask"))
    norms = [float(np.linalg.norm(b[name])) for name in shared if name.startswith(GRADIENT)]
    largest = max(norms, default=0.0)
    return Comparison(
        tensors=tuple(compare_tensor(name, a[name], b[name], mask, tolerance, largest) for name in shared),
        only_in_a=tuple(name for name in in_a if name not in b),
        only_in_b=tuple(name for name in in_b if name not in a),
        other_loss=other_loss,
        tolerance=tolerance,
    )


def with_nearest(names: Sequence[str], known: Sequence[str], most: int = 6) -> str:
    """List of names that one side has; those of the smaller side each with the nearest of the other."""
    others = [name for name in known if name not in names] if len(names) <= len(known) else []
    parts = []
    for name in names[:most]:
        near = difflib.get_close_matches(name, others, 1, 0.7)
        parts.append(f"{name} (did you mean {near[0]}?)" if near else name)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(parts) or "none") + more


def order(name: str) -> tuple[int, int]:
    """Sorts names as a run meets them: states, outputs, loss, gradients from the head down, others."""
    if name.startswith(STATE) and name.removeprefix(STATE).isdigit():
        return 0, int(name.removeprefix(STATE))
    if name in OUTPUTS:
        return 1, OUTPUTS.index(name)
    if name == "loss":
        return 2, 0
    part = part_of(name)
    if part == "head":
        return 3, 0
    if part.startswith("layer"):
        return 4, -int(part.split()[1])
    return (5 if part == "embeddings" else 6), 0


def part_of(name: str) -> str:
    """Part of the model that a gradient belongs to: "layer 3", "embeddings", "head". Others are their own."""
    if not name.startswith(GRADIENT):
        return name
    if match := re.search(r"\.layer\.(\d+)\.", name):
        return f"layer {match[1]}"
    return "embeddings" if ".embeddings." in name else "head"


def compare_tensor(
    name: str, a: AnyArray, b: AnyArray, mask: AnyArray | None, tolerance: float, largest: float
) -> TensorComparison:
    """One row of the comparison; `largest` is the norm of the largest gradient."""
    if a.shape != b.shape:
        return TensorComparison(name, np.inf, np.inf, np.nan, False, (a.shape, b.shape))
    a, b = a.astype(np.float64), b.astype(np.float64)
    if mask is not None and mask.ndim == 3:  # of choices; states are of all of them, one below the other
        mask = mask.reshape(-1, mask.shape[-1])
    if mask is not None and not name.startswith(GRADIENT) and a.shape[:2] == mask.shape:
        a, b = a[mask != 0], b[mask != 0]
    with np.errstate(invalid="ignore"):  # Inf - Inf
        difference = a - b
        distance, norm_a, norm_b = (float(np.linalg.norm(x)) for x in (difference, a, b))
        noise = name.startswith(GRADIENT) and max(norm_a, norm_b) <= tolerance * largest
        scale = largest if noise else norm_b
        relative = distance / scale if scale else distance and np.inf
        cosine = float((a * b).sum()) / (norm_a * norm_b) if norm_a and norm_b else float(norm_a == norm_b)
        max_abs = float(np.abs(difference).max(initial=0))
    return TensorComparison(name, max_abs, relative, 1.0 if noise else cosine, relative <= tolerance)

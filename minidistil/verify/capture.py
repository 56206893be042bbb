"""Run a model and collect every tensor by name, so that two runs can be compared.

Everything observable has one name: the embeddings, what each layer computes inside, the outputs, the loss,
every gradient. `verify.compare` compares two such collections in the order in which a run makes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from minidistil.arrays import AnyArray
from minidistil.batch import Batch
from minidistil.errors import InputError, UsageError
from minidistil.losses import IGNORE_INDEX
from minidistil.model.model import Model
from minidistil.model.taps import GRADIENT, Patterns, unpack_taps
from minidistil.ops.philox import normal
from minidistil.verify.operations import MAPS, OUTPUTS, STATE, TARGETS, tap_of

Activations = dict[str, AnyArray]

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "task_type_ids")
COTANGENT = "cotangent."
SEED = 20191002  # of cotangents; any number would do


def capture(
    model: Model, given: Mapping[str, AnyArray], *, label: Sequence[int] | None = None, taps: Patterns = None
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
    taps : True, str or iterable of str, optional
        Numbers inside, and their gradients: patterns of names, as of `Model.forward`.

    Returns
    -------
    dict of str to array
        The inputs, targets and cotangents used; `hidden_states.0` (the embeddings) to `hidden_states.L`
        [B, L, H]; the outputs, `loss`, and `grad.<parameter>`; taps, and `grad.<tap>`. Rectangular, zero on
        padding.

    Raises
    ------
    InputError
        No `input_ids`, or values the model cannot run.
    UsageError
        A `label` for a model that has no use for it; a pattern that matches no tap.
    WeightsError
        Nobody has trained the model's head.
    """
    model.check_trained([head for head in model.heads if head.score_outputs])
    untrained = model.untrained()
    if "input_ids" not in given:
        raise InputError("the reference holds no input_ids, and no text was given to make them from")
    inputs = {name: given[name] for name in INPUTS if name in given}
    batch = model.pack(**inputs)
    outputs, cache = model.forward(batch, hidden_states=True, taps=taps)
    states, inside = outputs.pop("hidden_states"), outputs.pop("taps", {})
    if untrained:
        outputs.pop("pooler_output")
        inside = {name: value for name, value in inside.items() if not name.startswith("pooler.")}
    by_token = token_outputs(model)
    found: Activations = {**inputs, "attention_mask": batch.unpack(np.ones(batch.num_tokens, np.int64))}
    found |= {f"{STATE}{i}": batch.unpack(state) for i, state in enumerate(states)}
    found |= {name: batch.unpack(o) if name in by_token else o for name, o in outputs.items()}
    found |= unpack_taps(inside, batch, model.sequence_taps())
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
        terms = model.losses(outputs, batch)
        found |= targets | {"loss": np.array(terms.loss)}
        douts = terms.douts
    else:
        found |= {COTANGENT + name: value for name, value in cotangents.items()}
        douts = {
            name: _as_output(u, batch, name in by_token).astype(model.params.dtype)
            for name, u in cotangents.items()
        }
    grads = model.params.like()
    dtaps = model.backward(douts, cache, grads, taps=taps)
    found |= {GRADIENT + name: grads[name] for name in reversed(list(grads)) if name not in untrained}
    return found | unpack_taps(dtaps, batch, model.sequence_taps())


def usual_taps(model: Model) -> list[str]:
    """All taps but the scores of words: those are among the outputs, and larger than the rest."""
    return [name for name in model.taps() if name != "decoder.output"]


def taps_size(model: Model, rows: int, columns: int) -> int:
    """Bytes of the usual taps and their gradients in the rectangular form, for input [rows, columns]."""
    c, numbers = model.config, 0
    for name in usual_taps(model):
        tap = tap_of(name)
        if tap is None or tap.layer is None:
            numbers += c.hidden_size
        elif tap.operation in MAPS:
            numbers += c.num_attention_heads * columns
        elif tap.operation in ("feed_forward.up", "feed_forward.activated"):
            numbers += c.intermediate_size
        else:
            numbers += c.hidden_size
    return 2 * numbers * rows * columns * model.params.dtype.itemsize


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
            chosen = scores.argmax(-1) if scores.ndim > 1 else (scores > 0).astype(np.int64)
            targets[target] = batch.unpack(chosen, fill=IGNORE_INDEX)
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
    return {k: activations[k] for k in activations if k in wanted or k.startswith(COTANGENT)}

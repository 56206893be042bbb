"""Tensors of a run by name: their order, the operation behind each, and other names for them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from minidistil.model.taps import GRADIENT

STATE = "hidden_states."
# The target that the loss compares each output with.
TARGETS = {
    "logits": "labels",
    "prediction_logits": "labels",
    "seq_relationship_logits": "next_sentence_label",
    "sop_logits": "sentence_order_label",
    "start_logits": "start_positions",
    "end_logits": "end_positions",
}
OUTPUTS = ("last_hidden_state", "pooler_output", *TARGETS)


class Operation(NamedTuple):
    """An operation in words, and the tensors that it reads: taps of the same layer, or "hidden_states"."""

    says: str
    inputs: tuple[str, ...] = ()


# By the tap that it writes, in the order of a run; of a layer without the layer's name.
OPERATIONS = {
    "embeddings.sum": Operation("sum of the rows of all tables"),
    "embeddings.norm": Operation("layer normalisation", ("embeddings.sum",)),
    "embeddings.projected": Operation(
        "product of the embeddings, as wide as the layers", ("embeddings.norm",)
    ),
    "attention.input": Operation("input of the attention", ("hidden_states",)),
    "attention.q": Operation("queries", ("attention.input",)),
    "attention.k": Operation("keys", ("attention.input",)),
    "attention.v": Operation("values", ("attention.input",)),
    "attention.scores": Operation("attention scores, q k^T / sqrt(D)", ("attention.q", "attention.k")),
    "attention.probabilities": Operation("softmax of the scores", ("attention.scores",)),
    "attention.context": Operation(
        "values weighed by the probabilities", ("attention.probabilities", "attention.v")
    ),
    "attention.output": Operation("output product of the attention", ("attention.context",)),
    "attention.residual": Operation(
        "sum of the attention and what it was given", ("attention.output", "hidden_states")
    ),
    "attention.norm": Operation("layer normalisation after the attention", ("attention.residual",)),
    "feed_forward.input": Operation("input of the feed-forward block", ("attention.norm",)),
    "feed_forward.up": Operation("first product of the feed-forward block", ("feed_forward.input",)),
    "feed_forward.activated": Operation("activation", ("feed_forward.up",)),
    "feed_forward.output": Operation("second product of the feed-forward block", ("feed_forward.activated",)),
    "feed_forward.residual": Operation(
        "sum of the feed-forward block and what it was given", ("feed_forward.output", "attention.norm")
    ),
    "feed_forward.norm": Operation(
        "layer normalisation after the feed-forward block", ("feed_forward.residual",)
    ),
    "pooler.input": Operation("first token of each sequence", ("last_hidden_state",)),
    "pooler.output": Operation("product of the pooler", ("pooler.input",)),
    "pooler.activated": Operation("activation of the pooler", ("pooler.output",)),
    "transform.input": Operation("input of the masked-LM head", ("last_hidden_state",)),
    "transform.output": Operation("product of the masked-LM head's transform", ("transform.input",)),
    "transform.activated": Operation("activation of the transform", ("transform.output",)),
    "transform.norm": Operation("layer normalisation of the transform", ("transform.activated",)),
    "decoder.output": Operation("scores of words", ("transform.norm",)),
    "discriminator.input": Operation("input of the discriminator's head", ("last_hidden_state",)),
    "discriminator.output": Operation("first product of the discriminator's head", ("discriminator.input",)),
    "discriminator.activated": Operation("activation of the head", ("discriminator.output",)),
    "discriminator.score": Operation("score of each token", ("discriminator.activated",)),
    "classifier.input": Operation("input of the classifier"),
    "classifier.output": Operation("product of the classifier", ("classifier.input",)),
}
PROJECTED = "embeddings.projected"  # only where tables have a width of their own
PLACES = {name: i for i, name in enumerate(OPERATIONS)}
MAPS = ("attention.scores", "attention.probabilities")  # [B, A, L, L]
BY_HEAD = ("attention.q", "attention.k", "attention.v", "attention.context")  # columns are those of heads
IN_LAYER = ("attention.", "feed_forward.")
BEFORE = {
    "pooler": 1,
    "transform": 2,
    "decoder": 2,
    "discriminator": 2,
    "classifier": 2,
}  # of `OUTPUTS`, number of the next one
INSIDE, INSIDE_GRADIENTS = "inside ", "gradients inside "
_TAP = re.compile(r"(grad\.)?(?:layer\.(\d{1,6})\.)?(\w+\.\w+)", re.ASCII)
_STATE = re.compile(r"hidden_states\.(\d{1,6})", re.ASCII)


class Tap(NamedTuple):
    """A tap's name, taken apart; `layer` is None outside of layers."""

    gradient: bool
    layer: int | None
    operation: str

    @property
    def name(self) -> str:
        layer = "" if self.layer is None else f"layer.{self.layer}."
        return f"{GRADIENT if self.gradient else ''}{layer}{self.operation}"


def tap_of(name: str) -> Tap | None:
    """The tap of that name, or None: a parameter's gradient is none."""
    match = _TAP.fullmatch(name)
    if match is None or match[3] not in OPERATIONS:
        return None
    if (match[2] is None) == match[3].startswith(IN_LAYER):
        return None
    return Tap(match[1] is not None, None if match[2] is None else int(match[2]), match[3])


def state_of(name: str) -> int | None:
    """Number of a hidden state, 0 for the embeddings; None for other names."""
    match = _STATE.fullmatch(name)
    return None if match is None else int(match[1])


def is_parameter(name: str) -> bool:
    """True for the gradient of a parameter."""
    return name.startswith(GRADIENT) and tap_of(name) is None


def order(name: str) -> tuple[int, ...]:
    """Sort key of names as a run meets them: states and taps, outputs, loss, gradients from the head down."""
    tap = tap_of(name)
    if tap is not None and not tap.gradient:
        if tap.layer is not None:
            return 0, tap.layer + 1, 0, PLACES[tap.operation]
        if tap.operation.startswith("embeddings."):
            return 0, 0, 0, PLACES[tap.operation]
        return 1, BEFORE[tap.operation.partition(".")[0]], 0, PLACES[tap.operation]
    if (state := state_of(name)) is not None:
        return 0, state, 1
    if name in OUTPUTS:
        return 1, OUTPUTS.index(name), 1
    if name == "loss":
        return 2, 0
    if not name.startswith(GRADIENT):
        return 6, 0
    last = (1,) if tap is None else (0, -PLACES[tap.operation])
    part = part_of(name).removeprefix(INSIDE_GRADIENTS)
    if part == "head":
        return 3, 0, *last
    if part.startswith(("layer", "group")):
        return 4, -int(part.split()[1]), *last
    return 5, 0, *last


def part_of(name: str) -> str:
    """Part of the model that a gradient or a tap belongs to. Others are their own.

    "layer 3", "group 0" of layers, "embeddings", "head" for gradients of parameters; "inside layer 3" for
    taps, and "gradients inside layer 3" for the gradients there.
    """
    if tap := tap_of(name):
        part = "embeddings" if tap.operation.startswith("embeddings.") else "head"
        part = part if tap.layer is None else f"layer {tap.layer}"
        return f"{INSIDE_GRADIENTS if tap.gradient else INSIDE}{part}"
    if not name.startswith(GRADIENT):
        return name
    if match := re.search(r"\.(?:layer|albert_layer_(group)s)\.(\d{1,6})\.", name):
        return f"{match[1] or 'layer'} {match[2]}"
    return "embeddings" if re.search(r"\.embedding(s[._]|_hidden_mapping_in\.)", name) else "head"


def says(name: str) -> str:
    """A tap in words: "layer 3, queries"; "" for other names."""
    tap = tap_of(name)
    if tap is None:
        return ""
    words = f"{'gradient at: ' if tap.gradient else ''}{OPERATIONS[tap.operation].says}"
    return words if tap.layer is None else f"layer {tap.layer}, {words}"


# Other tensors in words: inputs, outputs, targets.
WORDS = {
    "input_ids": "token ids",
    "attention_mask": "1 at tokens, 0 at padding",
    "token_type_ids": "token types, rows of their table",
    "task_type_ids": "task types, rows of their table",
    "position_ids": "rows of the position table",
    "cu_seqlens": "first token of each sequence, and at the end the number of tokens",
    "cu_choices": "first sequence of each example, and at the end the number of sequences",
    "labels": "targets of the loss; -100 where there is none",
    "next_sentence_label": "targets of the loss on pairs of sentences",
    "start_positions": "targets of the loss: first token of each answer",
    "end_positions": "targets of the loss: last token of each answer",
    "last_hidden_state": "output of the last layer",
    "pooler_output": "output of the pooler",
    "logits": "scores of the head",
    "prediction_logits": "scores of words",
    "seq_relationship_logits": "scores of the second sentence: it follows, or not",
    "start_logits": "scores of each token as the first of an answer",
    "end_logits": "scores of each token as the last of an answer",
    "loss": "mean loss",
}


def meaning(name: str) -> str:
    """Any tensor of a run in words; of names that are nobody else's, a parameter."""
    if words := says(name):
        return words
    if (state := state_of(name)) is not None:
        return f"output of layer {state - 1}" if state else "embeddings: input of the first layer"
    for begin, words in (("packed.", "without padding: "), ("cotangent.", "factors of the gradient of: ")):
        if name.startswith(begin):
            return words + meaning(name.removeprefix(begin))
    if name.startswith(GRADIENT):
        return f"gradient of the parameter {name.removeprefix(GRADIENT)}"
    return WORDS.get(name, "parameter")


def written_taps(taps: Mapping[str, str]) -> dict[str, str]:
    """{module: the tap that it writes}, from {tap: module}.

    A module that several layers share writes several taps, and its name stands for none of them.
    """
    written = list(taps.values())
    return {module: tap for tap, module in taps.items() if module and written.count(module) == 1}


def inputs_of(name: str, modules: Mapping[str, str]) -> list[str]:
    """Tensors that one is computed from: on the way back, the gradients at those that it had a part in.

    Parameters
    ----------
    name : str
    modules : mapping of str to str
        {module: the tap that it writes}, which says where a parameter's gradient comes from, and whether
        the embeddings are projected.
    """
    tap = tap_of(name)
    if tap is None:
        module = name.removeprefix(GRADIENT).rpartition(".")[0]
        return [GRADIENT + modules[module]] if is_parameter(name) and module in modules else []
    if tap.gradient:
        found: Iterable[str] = (w for w, op in OPERATIONS.items() if tap.operation in op.inputs)
    else:
        found = OPERATIONS[tap.operation].inputs
    inputs = []
    for other in found:
        if other == PROJECTED and PROJECTED not in modules.values():
            continue
        if other == "hidden_states":
            inputs.append(f"{STATE}{tap.layer}")
        elif other in OPERATIONS:
            inputs.append(tap._replace(operation=other).name)
        else:
            inputs.append(other)
    return inputs


def our_name(name: str, modules: Mapping[str, str], base: str) -> str:
    """Name of ours for a tensor that somebody else named; the name itself where none is known.

    `attentions.0` are probabilities. A module's name stands for its output, with ".input" behind it for its
    input, and may begin with the model's `base` or not, such as `bert.encoder.layer.0.attention.self.query`.
    """
    if match := re.fullmatch(r"attentions\.(\d{1,6})", name):
        return f"layer.{match[1]}.attention.probabilities"
    if tap_of(name) is not None:
        return name
    prefix = GRADIENT if name.startswith(GRADIENT) else ""
    body = name.removeprefix(GRADIENT)
    for module in (body, body.removesuffix(".output")):
        if (tap := _written_by(module, modules, base)) is not None:
            return prefix + tap
    if body.endswith(".input") and (tap := _written_by(body.removesuffix(".input"), modules, base)):
        read = inputs_of(tap, {})
        return prefix + read[0] if len(read) == 1 else name
    return name


def _written_by(module: str, modules: Mapping[str, str], base: str) -> str | None:
    names = (module, module.removeprefix(base + "."), f"{base}.{module}")
    return next((modules[name] for name in names if name in modules), None)

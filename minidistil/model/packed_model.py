"""A model that computes on packed batches: a config, parameters, an encoder, and the heads on top of it."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from types import ModuleType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer, matching
from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import UsageError
from minidistil.model.checks import (
    add_input_gradient,
    check_answered,
    check_backward,
    check_batch,
    check_dropout,
    checked_douts,
    checked_outputs,
)
from minidistil.model.context import Cache, Context
from minidistil.model.outputs import NamedOutputs
from minidistil.model.structure import Structure
from minidistil.model.taps import GRADIENT, Patterns, Taps, selected
from minidistil.model.terms import Losses, counts_of, losses_of
from minidistil.ops.dropout import Dropout
from minidistil.ops.philox import normal
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.precision import precision_of


def get_backend(name: str) -> ModuleType:
    """The backend module: "numpy" (the textbook) or "numba" (the kernels)."""
    if name == "numpy":
        import minidistil.ops as backend
    elif name == "numba":
        import minidistil.kernels as backend  # type: ignore[no-redef]  # same names, by design
    else:
        raise UsageError(f"backend must be 'numpy' or 'numba', not {name!r}")
    return backend


class PackedModel(Structure):
    """A model that computes on a `Batch`, forwards and backwards.

    Parameters
    ----------
    config : ModelConfig
    dtype : "float32" or "float64"
    backend : "numba" (fast) or "numpy" (the textbook)
    seed : int
        Fresh weights are normal with standard deviation `config.initializer_range`; biases are 0 and
        layernorm gains 1, as in BERT.

    Attributes
    ----------
    params : Parameters
        Every parameter by its Hugging Face name.
    frozen : set of str
        Parameters that training leaves alone; see `freeze`.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        dtype: npt.DTypeLike = "float32",
        backend: str = "numba",
        seed: int = 0,
    ) -> None:
        self._prepare(config, dtype, backend)
        self._initialise(set(self.params), seed)

    def _prepare(
        self, config: ModelConfig, dtype: npt.DTypeLike, backend: str, allocate: bool = True
    ) -> None:
        self.config, self.precision = config, precision_of(dtype)
        self.backend = get_backend(backend)
        self.params = Parameters(self.specs(config), self.precision.stored, allocate=allocate)
        self.frozen: set[str] = set()

    def _initialise(self, names: Collection[str], seed: int) -> None:
        """Initialise some parameters. The values of one do not depend on which others there are."""
        check_integer("the seed", seed)
        for i, spec in enumerate(self.params.specs):
            if spec.name not in names:
                continue
            if spec.role in ("weight", "embedding"):
                self.params[spec.name][...] = normal(spec.shape, seed, i) * self.config.initializer_range
            elif spec.role == "norm" and spec.name.endswith("weight"):
                self.params[spec.name][...] = 1

    def extend(self, specs: Sequence[ParameterSpec], *, seed: int = 0) -> None:
        """Further parameters to be trained beside the model's own, such as an objective's projection.

        They are in checkpoints of the training, and not in what `save_pretrained` writes.
        """
        before = self.params
        self.params = Parameters([*before.specs, *specs], before.dtype)
        for name in before:
            self.params[name][...] = before[name]
        self._initialise({spec.name for spec in specs}, seed)

    def parts(self) -> dict[str, list[ParameterSpec]]:
        """Parameters by part: "embeddings", "layer 0", ..., "head"."""
        parts = self.encoder.parts()
        inside = {spec.name for specs in parts.values() for spec in specs}
        return {**parts, "head": [spec for spec in self.params.specs if spec.name not in inside]}

    # Computing

    def check(self, batch: Batch) -> None:
        """Refuse a batch whose fields do not fit, or whose ids lie outside the tables.

        Raises
        ------
        UsageError
            No `Batch`.
        InputError
            Naming the field; or the sequence and the first bad value.
        """
        check_batch(batch, self.encoder.embeddings.tables)

    def forward(
        self,
        batch: Batch,
        *,
        dropout: Dropout | None = None,
        hidden_states: bool = False,
        attentions: bool = False,
        qkv: bool = False,
        logits: bool = True,
        keep_cache: bool = True,
        scores_only: bool = False,
        taps: Patterns = None,
    ) -> tuple[dict[str, Any], Any]:
        """Run a packed batch.

        Parameters
        ----------
        batch : Batch
        dropout : Dropout, optional
            Training mode: which masks to use. None is evaluation mode.
        hidden_states, attentions : bool
            Also return "hidden_states", a list of L + 1 arrays [T, H], or "attentions", for each layer a
            list of B arrays [A, L, L] (before dropout).
        qkv : bool
            Also return "qkv", a list of each layer's queries, keys and values side by side [T, 3H], which
            objectives on attention start from; and "attention_bias" where scores have one, see there.
        logits : bool
            False: a masked-LM head gives "features" [T, H] in place of "logits" [T, V], which `losses` turns
            into losses and gradients without ever holding all logits.
        keep_cache : bool
            Keep what `backward` needs. False saves memory.
        scores_only : bool
            For inference: give the heads' outputs alone. Where they come from the first token of each
            sequence, the last layer is computed for no other.
        taps : True, str or iterable of str, optional
            Also return "taps", a dict of the numbers inside whose names match a shell pattern, such as
            "layer.0.attention.*"; True for all. In order of computation; [T, ...], or [B, ...] of what comes
            from a pooler; scores and probabilities are lists of B arrays [A, L, L]. `taps()` has the names,
            docs/taps.md what they mean.

        Returns
        -------
        outputs : dict
            Packed: "last_hidden_state" [T, H] and the heads' outputs.
        cache : Cache or None
            For `backward`.

        Raises
        ------
        UsageError, InputError
            See `check`; a dropout that is none; a pattern that matches no tap.
        """
        self.check(batch)
        check_dropout(dropout)
        found = self._taps(taps)
        inside = keep_cache or hidden_states or attentions or qkv or found is not None
        ctx = Context(
            batch, self.config, self.backend, self.params, dropout=dropout, logits=logits,
            needs_backward=keep_cache, qkv=[] if attentions or qkv else None, taps=found,
            cls_only=scores_only and dropout is None and not inside and self._reads_cls_only(),
        )  # fmt: skip
        states: list[Array] | None = [] if hidden_states else None
        x, caches = self.encoder.forward(ctx, states)
        outputs = NamedOutputs() if scores_only else NamedOutputs(last_hidden_state=x)
        shapes = {"last_hidden_state": x.shape}
        head_caches = []
        for head in self.heads:
            out, c = checked_outputs(head, head.forward(x, ctx))
            outputs.update(out)
            shapes |= {name: value.shape for name, value in out.items()}
            head_caches.append(c if keep_cache else None)
        if states is not None:
            outputs["hidden_states"] = states
        if attentions:
            heads = self.config.num_attention_heads
            outputs["attentions"] = [
                ctx.ops.attention_probabilities(layer, batch.cu_seqlens, heads, ctx.bias)
                for layer in ctx.qkv or ()
            ]
        if qkv:
            outputs["qkv"] = ctx.qkv
        if ctx.bias is not None:
            shapes["attention_bias"] = ctx.bias.shape
            if qkv:
                outputs["attention_bias"] = ctx.bias
        if found is not None:
            outputs["taps"] = found.found
        if not keep_cache:
            return outputs, None
        return outputs, Cache(batch, type(self), self.config, self.params.dtype, caches, head_caches, shapes)

    def attention_bias(self, batch: Batch) -> Array | None:
        """Bias on attention scores by distance, the same in all layers, if there is one.

        Returns
        -------
        [A, 2N - 1] or None
            For the N tokens of the longest sequence: number j - i + N - 1 of a head is added to the score of
            query i and key j.
        """
        if self.encoder.relative_bias is None:
            return None
        ctx = Context(batch, self.config, self.backend, self.params)
        return self.encoder.relative_bias.forward(ctx)[0]

    def _taps(self, patterns: Patterns, prefix: str = "") -> Taps | None:
        """Collector of the numbers that a pass is asked for, if any."""
        wanted = None if patterns is None else selected(type(self).__name__, patterns, self.taps(), prefix)
        return None if wanted is None else Taps(wanted, prefix)

    def _reads_cls_only(self) -> bool:
        cls_only = all(head.reads_cls_only for head in self.heads)
        return cls_only and bool(self.heads) and self.config.depth > 0

    def backward(
        self, douts: Mapping[str, Any], cache: Cache, grads: Parameters, *, taps: Patterns = None
    ) -> dict[str, Any]:
        """Add the gradient of every parameter that is not frozen to `grads`.

        Parameters
        ----------
        douts : mapping
            Gradients of outputs, by the names that `forward` gave them. "hidden_states" is a mapping of
            index (0: embeddings, i: after layer i) to [T, H], "qkv" one of layer (from 0) to [T, 3H];
            "attention_bias" [A, 2N - 1] is that of an objective alone.
        cache : from `forward`
        grads : Parameters
            Same layout as `params`.
        taps : as of `forward`, optional
            Numbers inside whose gradients are returned too.

        Returns
        -------
        dict
            {"grad.layer.0.attention.q": [T, H], ...}, from the last to the first; empty without `taps`.

        Raises
        ------
        UsageError
            An output that there is not; a cache or gradients of another model; a pattern that matches no tap.
        InputError
            A gradient of another shape than its output.
        """
        check_backward(cache, self, grads)
        douts = checked_douts(douts, cache)
        found = self._taps(taps, GRADIENT)
        dbias = douts.get("attention_bias")
        ctx = Context(
            cache.batch, self.config, self.backend, self.params, grads=grads, dqkv=douts.get("qkv", {}),
            dbias=None if dbias is None else dbias.copy(), taps=found,
        )  # fmt: skip
        dx = np.zeros(cache.shapes["last_hidden_state"], self.params.dtype)
        if "last_hidden_state" in douts:
            dx += douts["last_hidden_state"]
        back = zip(self.heads, cache.heads, strict=True)
        answered = [add_input_gradient(dx, head, head.backward(douts, c, ctx)) for head, c in back]
        check_answered(douts, cache, any(answered))
        lowest = self._lowest_learning() if found is None else 0
        self.encoder.backward(dx, cache.layers, ctx, douts.get("hidden_states", {}), lowest)
        for name in self.frozen:
            grads[name][...] = 0
        return {} if found is None else found.found

    def _lowest_learning(self) -> int:
        """Lowest part of the encoder with a parameter that is not frozen; beyond all if there is none."""
        if not self.frozen:
            return 0
        parts = list(self.encoder.parts().values())
        learns = (i for i, specs in enumerate(parts) if any(s.name not in self.frozen for s in specs))
        return next(learns, len(parts))

    def losses(
        self,
        outputs: dict[str, Any],
        batch: Batch,
        scales: Mapping[str, float] | None = None,
        grads: Parameters | None = None,
    ) -> Losses:
        """The terms of this model's own loss, from `batch.targets`.

        Parameters
        ----------
        outputs : from `forward`
        batch : Batch
        scales : mapping of str to float, optional
            Factor of each term's sum in what the gradients are of; 1 for a term that is not named. None: 1 /
            count, so that the gradients are of the mean loss.
        grads : Parameters, optional
            Needed if `outputs` come without logits: the gradients of the last layer are added here.

        Returns
        -------
        Losses
            `loss`, its terms, and the gradients by the outputs, for `backward`.

        Raises
        ------
        UsageError
            A model without a loss, an unknown term, gradients of another model.
        InputError
            Targets that are missing, or of another shape, dtype or range; outputs of another batch.
        """
        self.check(batch)
        if grads is not None:
            self.params.check_like(grads)
        ctx = Context(batch, self.config, self.backend, self.params, grads)
        return losses_of(self.heads, outputs, ctx, scales, type(self).__name__)

    def loss_counts(self, batch: Batch) -> dict[str, float]:
        """Number of items that each term of `losses` averages over, known before the forward pass."""
        return counts_of(self.heads, batch)

    # Predicting and training

    def eval(self) -> Self:
        """Make the model ready to predict, as a loaded one is: matrices are kept in the kernels' order.

        Each is packed when it is used a second time. The parameters cannot be changed until `train`, since
        what was packed would not follow.
        """
        self.params.pack(self.backend.pack_weight)
        return self

    def train(self) -> Self:
        """Undo `eval`, and bring parameters that were left in a file into memory: they may change now.

        Raises
        ------
        UsageError
            A precision for prediction alone.
        """
        if not self.precision.trains:
            raise UsageError(f"{self.precision.name} is for prediction; train with dtype='float32'")
        self.params.unpack()
        return self

    def freeze(self, *patterns: str) -> int:
        """Freeze parameters by names, by beginnings of names, or by shell patterns of either.

        A beginning ends where a part of the name does: "bert.encoder.layer.1" is layer 1 and not layer 10,
        "*.embeddings" all tables. What matches nothing is a UsageError with the nearest name.

        Returns
        -------
        int
            Number of tensors that are frozen now.
        """
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise UsageError(f"patterns are given one by one, freeze('a*', 'b*'), not as {pattern!r:.60}")
            self.frozen.update(matching(self.params, pattern, type(self).__name__))
        return len(self.frozen)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with parameters of its own; the backend is a module, and shared."""
        new = memo[id(self)] = type(self).__new__(type(self))
        for name, value in vars(self).items():
            setattr(new, name, value if name == "backend" else copy.deepcopy(value, memo))
        return new

    def unfreeze(self) -> None:
        """Undo every `freeze`."""
        self.frozen.clear()

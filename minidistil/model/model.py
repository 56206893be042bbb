"""A model: a config, one arena of parameters, the encoder, and the heads on top of it."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_integer, check_names
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import ConfigError, UsageError
from minidistil.model.backend import get_backend
from minidistil.model.checks import check_backward, check_batch, check_dropout, checked_douts
from minidistil.model.context import Cache, Run
from minidistil.model.encoder import embeddings_backward, embeddings_forward, layer_backward, layer_forward
from minidistil.model.heads import Head, Losses
from minidistil.model.naming import embedding_views, encoder_specs, layer_views
from minidistil.model.pretrained import Pretrained
from minidistil.model.rectangular import Rectangular
from minidistil.ops.dropout import Dropout
from minidistil.ops.philox import normal
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.precision import precision_of

Array = npt.NDArray[np.floating[Any]]


class Model(Rectangular, Pretrained):
    """Base of all models. Use a class such as `BertForSequenceClassification`.

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

    heads: ClassVar[tuple[Head, ...]]
    config_class: ClassVar[type[ModelConfig]]

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
        if not isinstance(config, self.config_class):
            raise ConfigError(
                f"{type(self).__name__} needs a {self.config_class.__name__}, not a {type(config).__name__}"
            )
        self.config, self.precision = config, precision_of(dtype)
        self.backend = get_backend(backend)
        self.params = Parameters(self.specs(config), self.precision.stored, allocate=allocate)
        self.frozen: set[str] = set()

    def _initialise(self, names: Collection[str], seed: int) -> None:
        """Fresh values for some parameters. What one gets does not depend on which others do."""
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

    @classmethod
    def specs(cls, config: ModelConfig) -> list[ParameterSpec]:
        """Name, shape and role of every parameter, in order."""
        specs = encoder_specs(config, cls.naming)
        for head in cls.heads:
            specs += [s for s in head.specs(config) if s.name not in {t.name for t in specs}]
        return specs

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
        check_batch(batch, self.config)

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
            objectives on attention start from.
        logits : bool
            False: a masked-LM head gives "features" [T, H] in place of "logits" [T, V], which `losses` turns
            into losses and gradients without ever holding all logits.
        keep_cache : bool
            Keep what `backward` needs. False saves memory.
        scores_only : bool
            For inference: give the heads' outputs alone. Where they come from the first token of each
            sequence, the last layer is computed for no other.

        Returns
        -------
        outputs : dict
            Packed: "last_hidden_state" [T, H] and the heads' outputs.
        cache : Cache or None
            For `backward`.

        Raises
        ------
        UsageError, InputError
            See `check`; a dropout that is none.
        """
        self.check(batch)
        check_dropout(dropout)
        inside = keep_cache or hidden_states or attentions or qkv
        first = scores_only and dropout is None and not inside and self._reads_cls_only()
        run, config = Run(batch, self.config, self.backend, dropout, logits, keep_cache, first), self.config
        words, ids = self.params.rows(self.naming.prefix + self.naming.word, batch.input_ids)
        x, c = embeddings_forward(embedding_views(self.params, self.naming, words), run, ids)
        caches, states = [c if keep_cache else None], [x] if hidden_states else []
        maps, projections = [], []
        for i in range(config.num_hidden_layers):
            last = i == config.num_hidden_layers - 1
            x, c = layer_forward(x, layer_views(self.params, self.naming, i), run, i, first=first and last)
            if attentions:
                heads = config.num_attention_heads
                maps.append(run.ops.attention_probabilities(c[1][0], batch.cu_seqlens, heads))
            if qkv:
                projections.append(c[1][0])
            if hidden_states:
                states.append(x)
            if keep_cache:
                caches.append(c)
            del c  # it holds the layer's matrices: of a model left in its file no more than one is in memory
        outputs: dict[str, Any] = {} if scores_only else {"last_hidden_state": x}
        shapes = {"last_hidden_state": x.shape}
        head_caches = []
        for head in self.heads:
            out, c = head.forward(x, self.params, run)
            outputs.update(out)
            shapes |= {name: value.shape for name, value in out.items()}
            head_caches.append(c if keep_cache else None)
        if hidden_states:
            outputs["hidden_states"] = states
        if attentions:
            outputs["attentions"] = maps
        if qkv:
            outputs["qkv"] = projections
        if not keep_cache:
            return outputs, None
        return outputs, Cache(batch, type(self), config, self.params.dtype, caches, head_caches, shapes)

    def _reads_cls_only(self) -> bool:
        cls_only = all(head.reads_cls_only for head in self.heads)
        return cls_only and bool(self.heads) and self.config.num_hidden_layers > 0

    def backward(self, douts: Mapping[str, Any], cache: Cache, grads: Parameters) -> None:
        """Add the gradient of every parameter that is not frozen to `grads`.

        Parameters
        ----------
        douts : mapping
            Gradients of outputs, by the names that `forward` gave them. "hidden_states" is a mapping of
            index (0: embeddings, i: after layer i) to [T, H], "qkv" one of layer (from 0) to [T, 3H].
        cache : from `forward`
        grads : Parameters
            Same layout as `params`.

        Raises
        ------
        UsageError
            An output that there is not; a cache or an arena of another model.
        InputError
            A gradient of another shape than its output.
        """
        check_backward(cache, type(self), self.config, self.params, grads)
        douts, caches, ops = checked_douts(douts, cache), cache.layers, self.backend
        dx = np.zeros(cache.shapes["last_hidden_state"], self.params.dtype)
        if "last_hidden_state" in douts:
            dx += douts["last_hidden_state"]
        for head, c in zip(self.heads, cache.heads, strict=True):
            dhead = head.backward(douts, c, grads, ops)
            if dhead is not None:
                dx += dhead
        dstates, dqkv = douts.get("hidden_states", {}), douts.get("qkv", {})
        for i in reversed(range(self.config.num_hidden_layers)):
            if i + 1 in dstates:
                dx += dstates[i + 1]
            if not self._learns_below(i + 1):
                break
            dx = layer_backward(dx, caches[i + 1], layer_views(grads, self.naming, i), ops, dqkv.get(i))
        else:
            if 0 in dstates:
                dx += dstates[0]
            if self._learns_below(0):
                embeddings_backward(dx, caches[0], embedding_views(grads, self.naming), ops)
        for name in self.frozen:
            grads[name][...] = 0

    def _learns_below(self, depth: int) -> bool:
        """Is any parameter of the embeddings or of the first `depth` layers not frozen?"""
        if not self.frozen:
            return True
        above = tuple(self.naming.layer_prefix(i) for i in range(depth, self.config.num_hidden_layers))
        encoder = (spec.name for spec in encoder_specs(self.config, self.naming))
        return any(not name.startswith(above) and name not in self.frozen for name in encoder)

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
            Factor of each term's sum in what the gradients are of; 1 for a term that is not named.
        grads : Parameters, optional
            Needed if `outputs` come without logits: the gradients of the last layer are added here.

        Returns
        -------
        Losses
            The sum of each term, and the gradients by the outputs, for `backward`.

        Raises
        ------
        UsageError
            A model without a loss, an unknown term, an arena of another model.
        InputError
            Targets that are missing, or of another shape, dtype or range; outputs of another batch.
        """
        self.check(batch)
        if grads is not None:
            self.params.check_like(grads)
        run, counts = Run(batch, self.config, self.backend), self.loss_counts(batch)
        check_names(f"the loss of {type(self).__name__}", "term", scales or {}, counts)
        scales = {**dict.fromkeys(counts, 1.0), **(scales or {})}
        sums: dict[str, float] = {}
        douts: dict[str, Any] = {}
        for head in self.heads:
            terms = head.losses(outputs, self.params, run, scales, grads)
            sums |= terms.sums
            douts |= terms.douts
        if not sums:
            raise UsageError(f"{type(self).__name__} has no loss of its own; use a class with a task head")
        return Losses(sums, douts)

    def loss_counts(self, batch: Batch) -> dict[str, int]:
        """How many items each term of `losses` averages over, known before the forward pass."""
        return {name: n for head in self.heads for name, n in head.counts(batch, self.config).items()}

    # Predicting and training

    def eval(self) -> Self:
        """For a model that predicts many times: keep its matrices in the order in which kernels read them.

        Each is packed when it is used a second time. The parameters cannot be changed until `train`, since
        what was packed would not follow.
        """
        self.params.pack(self.backend.pack_weight)
        return self

    def train(self) -> Self:
        """Undo `eval`, and bring parameters that were left in a file into memory: they may change now."""
        self.params.unpack()
        return self

    def freeze(self, *patterns: str) -> int:
        """Keep parameters whose names match a shell pattern, e.g. "*.embeddings.*", as they are.

        Returns
        -------
        int
            How many tensors are frozen now. A pattern that matches nothing is an error.
        """
        for pattern in patterns:
            if not isinstance(pattern, str):
                raise UsageError(f"patterns are given one by one, freeze('a*', 'b*'), not as {pattern!r:.60}")
            matched = fnmatch.filter(self.params, pattern)
            if not matched:
                raise UsageError(f"no parameter of {type(self).__name__} matches {pattern!r}")
            self.frozen.update(matched)
        return len(self.frozen)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with parameters of its own; the backend is a module, and shared."""
        new = memo[id(self)] = type(self).__new__(type(self))
        for name, value in vars(self).items():
            setattr(new, name, value if name == "backend" else copy.deepcopy(value, memo))
        return new

    def unfreeze(self) -> None:
        """Let everything learn again."""
        self.frozen.clear()

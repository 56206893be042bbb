"""Cases of the gradient check: every forward/backward pair and every loss, on small random input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil import losses
from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.losses import Loss
from minidistil.ops.activations import ACTIVATIONS
from minidistil.ops.dropout import Dropout, Mask
from minidistil.ops.linear_cross_entropy import LinearHead, VocabularySums
from minidistil.ops.pooling import KINDS
from minidistil.verify.finite_differences import Case

Maker = Callable[[ModuleType], Case]  # given a backend

# Three sequences of 1, 2 and 5 tokens, so that a row that leaks into its neighbour's shows.
CU_SEQLENS = np.array([0, 1, 3, 8], np.int32)
LENGTHS = np.diff(CU_SEQLENS)
T, H, C, A = 8, 6, 5, 2  # no two alike, so that no array passes for its transpose
SEED = 20191002  # day DistilBERT's paper appeared; any number would do


def normal(*shape: int, seed: int = 0) -> Array:
    """Standard normal float64 numbers."""
    return np.random.default_rng((SEED, seed)).standard_normal(shape)


def dropout_mask(rate: float = 0.3) -> Mask | None:
    """A mask over the T tokens, as training makes it."""
    example = np.repeat(np.array([3, 1, 4]), LENGTHS)
    position = np.concatenate([np.arange(length, dtype=np.int32) for length in LENGTHS])
    return Dropout(seed=1, step=2).mask(rate, 0, 0, example, position)


def op_case(
    backend: ModuleType,
    op: str,
    *args: Any,
    inputs: Mapping[str, Array],
    parameters: int = 0,
    **settings: Any,
) -> Case:
    """The case of one pair of operations.

    Parameters
    ----------
    backend : module
    op : str
        `op`_forward and `op`_backward are looked up in `backend` whenever they are called.
    args
        Arguments of the forward: some of them the arrays of `inputs`.
    inputs : dict
        Arrays to differentiate by, in the order in which the backward returns the gradients.
    parameters : int
        The last so many of them are parameters, whose gradients the backward adds to those given. It is
        given random ones, and what it added is what counts.
    settings
        Passed to the forward by name.
    """

    def forward() -> dict[str, Array]:
        return {"out": getattr(backend, f"{op}_forward")(*args, **settings)[0]}

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        _, cache = getattr(backend, f"{op}_forward")(*args, **settings)
        names = list(inputs)
        begun = [normal(*inputs[name].shape, seed=9) for name in names[len(names) - parameters :]]
        got = getattr(backend, f"{op}_backward")(douts["out"], cache, *(b.copy() for b in begun))
        got = got if isinstance(got, tuple) else (got,)
        before = [0] * (len(names) - parameters) + begun
        return {name: after - start for name, after, start in zip(names, got, before, strict=False)}

    return Case(inputs, forward, backward)


def elementwise(op: str, backend: ModuleType) -> Case:
    x = 2 * normal(T, H)  # both tails of the curve
    return op_case(backend, op, x, inputs={"x": x})


def linear(backend: ModuleType) -> Case:
    x, weight, bias = normal(T, H), normal(C, H, seed=1), normal(C, seed=2)
    inputs = {"x": x, "weight": weight, "bias": bias}
    return op_case(backend, "linear", x, weight, bias, inputs=inputs, parameters=2)


def linear_without_bias(backend: ModuleType) -> Case:
    x, weight = normal(T, H), normal(C, H, seed=1)
    return op_case(backend, "linear", x, weight, inputs={"x": x, "weight": weight}, parameters=1)


def linear_activation(activation: str, backend: ModuleType) -> Case:
    x, weight, bias = normal(T, H), normal(C, H, seed=1), normal(C, seed=2)
    inputs = {"x": x, "weight": weight, "bias": bias}
    return op_case(backend, "linear_activation", x, weight, bias, activation, inputs=inputs, parameters=2)


def feed_forward(activation: str, backend: ModuleType) -> Case:
    inputs = {
        "x": normal(T, H),
        "up_weight": normal(C, H, seed=1),
        "up_bias": normal(C, seed=2),
        "down_weight": normal(H, C, seed=3),
        "down_bias": normal(H, seed=4),
    }
    return op_case(backend, "feed_forward", *inputs.values(), activation, inputs=inputs, parameters=4)


def layernorm(backend: ModuleType) -> Case:
    x, weight, bias = 3 * normal(T, H) + 1, normal(H, seed=1), normal(H, seed=2)
    inputs = {"x": x, "weight": weight, "bias": bias}
    return op_case(backend, "layernorm", x, weight, bias, 1e-12, inputs=inputs, parameters=2)


def residual_layernorm(rate: float, backend: ModuleType) -> Case:
    x, residual, weight, bias = normal(T, H), normal(T, H, seed=1), normal(H, seed=2), normal(H, seed=3)
    inputs = {"x": x, "residual": residual, "weight": weight, "bias": bias}
    args = (x, residual, weight, bias, 1e-12, dropout_mask(rate))
    return op_case(backend, "residual_layernorm", *args, inputs=inputs, parameters=2)


def embedding(tables: int, backend: ModuleType) -> Case:
    ids = np.array([2, 0, 3, 3, 1, 2, 2, 4], np.int32)  # repeated ids must add up
    position = np.concatenate([np.arange(length, dtype=np.int32) for length in LENGTHS])
    token_type = np.array([0, 0, 1, 0, 0, 1, 1, 1], np.int32)
    given = {"word": normal(7, H), "position": normal(9, H, seed=1), "token_type": normal(2, H, seed=2)}
    inputs = dict(list(given.items())[:tables])
    rows = (ids, position, token_type)[:tables]
    args = list(inputs.values()), rows
    return op_case(backend, "embedding", *args, inputs=inputs, parameters=tables)


def attention(rate: float, backend: ModuleType) -> Case:
    qkv = normal(T, 3 * H)
    return op_case(backend, "attention", qkv, CU_SEQLENS, A, dropout_mask(rate), inputs={"qkv": qkv})


def biased_attention(rate: float, backend: ModuleType) -> Case:
    qkv, bias = normal(T, 3 * H), normal(A, 13, seed=1)  # for up to 7 tokens, where the longest has 5
    args = qkv, CU_SEQLENS, A, dropout_mask(rate), bias
    return op_case(backend, "attention", *args, inputs={"qkv": qkv, "bias": bias}, parameters=1)


def relative_bias(bidirectional: bool, backend: ModuleType) -> Case:
    table = normal(8, A)
    args = table, 9, 6  # distances up to 8; the last bucket begins before 6
    return op_case(
        backend, "relative_bias", *args, inputs={"table": table}, parameters=1, bidirectional=bidirectional
    )


def pool(pooling: str, skip: int, backend: ModuleType) -> Case:
    x, batch = normal(T, H), Batch.from_sequences([np.zeros(length, np.int32) for length in LENGTHS])
    return op_case(backend, "pool", x, batch, pooling, inputs={"x": x}, skip=skip)


def dropout(backend: ModuleType) -> Case:
    x = normal(T, H)
    return op_case(backend, "dropout", x, dropout_mask(), inputs={"x": x})


# "ops.<pair>" or "ops.<pair>.<variant>". A test sees to it that no pair of a backend is missing.
OP_CASES: dict[str, Maker] = {
    "ops.linear": linear,
    "ops.linear.no_bias": linear_without_bias,
    "ops.embedding": partial(embedding, 3),
    "ops.embedding.no_token_type": partial(embedding, 2),
    "ops.layernorm": layernorm,
    "ops.gelu": partial(elementwise, "gelu"),
    "ops.gelu_tanh": partial(elementwise, "gelu_tanh"),
    "ops.tanh": partial(elementwise, "tanh"),
    "ops.relu": partial(elementwise, "relu"),
    "ops.softmax": partial(elementwise, "softmax"),
    "ops.attention": partial(attention, 0.0),
    "ops.attention.dropout": partial(attention, 0.3),
    "ops.attention.bias": partial(biased_attention, 0.0),
    "ops.attention.bias.dropout": partial(biased_attention, 0.3),
    "ops.relative_bias": partial(relative_bias, True),
    "ops.relative_bias.one_direction": partial(relative_bias, False),
    "ops.dropout": dropout,
    **{f"ops.pool.{kind}": partial(pool, kind, 0) for kind in KINDS},
    "ops.pool.several": partial(pool, "cls+max+mean", 2),
    **{f"ops.linear_activation.{name}": partial(linear_activation, name) for name in ACTIVATIONS},
    **{f"ops.feed_forward.{name}": partial(feed_forward, name) for name in ACTIVATIONS},
    "ops.residual_layernorm": partial(residual_layernorm, 0.0),
    "ops.residual_layernorm.dropout": partial(residual_layernorm, 0.3),
}


def vocabulary(labelled: bool, taught: bool, backend: ModuleType) -> Case:
    """Losses over the vocabulary: the sum that the gradients are of, by features and last layer."""
    inputs = {"features": normal(T, H), "weight": normal(V, H, seed=1), "bias": normal(V, seed=2)}
    teacher = LinearHead(normal(T, H + 1, seed=3), normal(V, H + 1, seed=4), normal(V, seed=5))
    scales = {"label_scale": 0.7, "soft_scale": 1.3}

    def run(*given: Array) -> tuple[VocabularySums, Array, Array, Array]:
        result: tuple[VocabularySums, Array, Array, Array] = backend.linear_cross_entropy(
            *inputs.values(), labels=LABELS if labelled else None, teacher=teacher if taught else None,
            **scales, **dict(zip(("dweight", "dbias"), given, strict=False)),
        )  # fmt: skip
        return result

    def forward() -> dict[str, Array]:
        sums = run()[0]
        return {"sum": np.array(scales["label_scale"] * sums.labels + scales["soft_scale"] * sums.soft)}

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        begun = normal(V, H, seed=8), normal(V, seed=9)
        gradients = run(*(b.copy() for b in begun))[1:]
        before = (np.zeros(()), *begun)
        return {k: (g - b) * douts["sum"] for k, g, b in zip(inputs, gradients, before, strict=True)}

    return Case(inputs, forward, backward)


def loss_case(name: str, x: Array, *args: Any, **settings: Any) -> Case:
    """The case of one objective, which is looked up in `minidistil.losses` whenever it is called."""

    def loss() -> Loss:
        result: Loss = getattr(losses, name)(x, *args, **settings)
        return result

    def forward() -> dict[str, Array]:
        return {"sum": np.array(loss().sum)}

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        return {"x": loss().grad * douts["sum"]}

    return Case({"x": x}, forward, backward)


def loss_maker(name: str, target: npt.NDArray[Any], **settings: Any) -> Maker:
    """Losses belong to no backend."""
    return lambda backend: loss_case(name, 2 * normal(T, H), target, **settings)


def packed_loss_maker(name: str, *args: Any, **settings: Any) -> Maker:
    """Losses of queries, keys and values, with a teacher twice as wide."""
    teacher = normal(T, 6 * H, seed=1)
    return lambda backend: loss_case(name, normal(T, 3 * H), teacher, CU_SEQLENS, *args, **settings)


def projected(backend: ModuleType) -> Case:
    """Hidden states of a student of width H, of a teacher of width C, and the projection between them."""
    inputs = {"x": normal(T, H), "projection": normal(C, H, seed=1)}
    teacher = normal(T, C, seed=2)

    def loss() -> losses.ProjectedLoss:
        return losses.hidden_mse(inputs["x"], teacher, inputs["projection"], mask=MASK)

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        got = loss()
        assert got.dprojection is not None
        return {"x": got.grad * douts["sum"], "projection": got.dprojection * douts["sum"]}

    return Case(inputs, lambda: {"sum": np.array(loss().sum)}, backward)


def biased_maps(name: str, backend: ModuleType) -> Case:
    """Attention maps of models with a relative bias, by the student's q, k and v and by its bias."""
    inputs = {"x": normal(T, 3 * H), "bias": normal(A, 11, seed=2)}
    teacher, teacher_bias = normal(T, 6 * H, seed=1), normal(A, 9, seed=3)

    def loss() -> losses.BiasedLoss:
        x, bias = inputs.values()
        found: losses.BiasedLoss = getattr(losses, name)(
            x, teacher, CU_SEQLENS, A, student_bias=bias, teacher_bias=teacher_bias
        )
        return found

    def backward(douts: dict[str, Array]) -> dict[str, Array]:
        got = loss()
        return {"x": got.grad * douts["sum"], "bias": got.dbias * douts["sum"]}

    return Case(inputs, lambda: {"sum": np.array(loss().sum)}, backward)


V = 13  # words
LABELS = np.array([3, 0, losses.IGNORE_INDEX, 5, 5, 1, losses.IGNORE_INDEX, 2])
MASK = np.array([1, 0, 1, 1, 0, 1, 1, 0]) == 1
PROBABILITIES = np.random.default_rng(SEED).dirichlet(np.ones(H), T)
TEACHER = normal(T, H, seed=1)
CLASSES = np.array([0, 1, 0, 2, 1, 1, 0, 1])  # one of them has nobody else of its class
MARGINS = {"euclidean": 2.0, "squared_euclidean": 20.0, "cosine": 0.3}  # some triplets cost, some do not

# "losses.<function>" or "losses.<function>.<variant>". A test sees to it that no loss is missing.
LOSS_CASES: dict[str, Maker] = {
    "losses.cross_entropy": loss_maker("cross_entropy", LABELS),
    "losses.soft_cross_entropy": loss_maker("soft_cross_entropy", PROBABILITIES),
    "losses.soft_binary_kl": loss_maker("soft_binary_kl", TEACHER, temperature=2.0),
    "losses.soft_label_kl": loss_maker("soft_label_kl", TEACHER, temperature=2.0),
    "losses.soft_label_kl.masked": loss_maker("soft_label_kl", TEACHER, temperature=3.0, mask=MASK),
    "losses.cosine": loss_maker("cosine", TEACHER),
    "losses.cosine.masked": loss_maker("cosine", TEACHER, mask=MASK),
    "losses.mean_squared_error": loss_maker("mean_squared_error", TEACHER),
    "losses.mean_squared_error.masked": loss_maker("mean_squared_error", TEACHER, mask=MASK),
    "losses.binary_cross_entropy": loss_maker("binary_cross_entropy", PROBABILITIES),
    "losses.logits_mse": loss_maker("logits_mse", TEACHER),
    "losses.logits_mse.masked": loss_maker("logits_mse", TEACHER, mask=MASK),
    "losses.hidden_mse": loss_maker("hidden_mse", TEACHER),
    "losses.hidden_mse.projection": projected,
    "losses.pkd": loss_maker("pkd", TEACHER),
    "losses.pkd.masked": loss_maker("pkd", TEACHER, mask=MASK),
    **{
        f"losses.triplet_margin.{distance}.{mining}": loss_maker(
            "triplet_margin", CLASSES, margin=margin, distance=distance, mining=mining
        )
        for distance, margin in MARGINS.items()
        for mining in ("batch_hard", "all")
    },
    "losses.contrastive": loss_maker("contrastive", CLASSES, temperature=0.5),
    "losses.attention_scores_mse": packed_loss_maker("attention_scores_mse", A),
    "losses.attention_probabilities_kl": packed_loss_maker("attention_probabilities_kl", A),
    **{
        f"losses.{name}.bias": partial(biased_maps, name)
        for name in ("attention_scores_mse", "attention_probabilities_kl")
    },
    "losses.self_attention_relations": packed_loss_maker("self_attention_relations", relation_heads=3),
    "losses.self_attention_relations.values": packed_loss_maker(
        "self_attention_relations", relation_heads=A, relations=("v",)
    ),
}

VOCABULARY_CASES: dict[str, Maker] = {
    "vocabulary.labels": partial(vocabulary, True, False),
    "vocabulary.soft": partial(vocabulary, False, True),
    "vocabulary.both": partial(vocabulary, True, True),
}

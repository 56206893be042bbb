"""Lesson 3: a layer."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from minidistil import ops
from minidistil.arrays import Array
from minidistil.course.comparison import slopes
from minidistil.course.exercises import BY_DIFFERENCES, Call, Choice, Function, Lesson, Number
from minidistil.model.families.bert import BertConfig, BertModel


def layer_parameters() -> float:
    parts = BertModel.encoder_of(BertConfig()).parts()
    return sum(spec.size for spec in parts["layer 0"])


def layernorm_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, weight, bias = 3 * rng.normal(size=(4, 6)) + 1, rng.normal(size=6), rng.normal(size=6)
    for eps in (1e-12, 0.5):
        given = {"x": x, "weight": weight, "bias": bias, "eps": eps}
        yield Call(given, {"y": ops.layernorm_forward(x, weight, bias, eps)[0]})


def layernorm_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, dout = 2 * rng.normal(size=(4, 6)) + 1, rng.normal(size=(4, 6))
    weight, bias = rng.normal(size=6), np.zeros(6)
    for eps in (1e-12, 0.5):
        given = {"dout": dout, "x": x, "weight": weight, "eps": eps}
        _, cache = ops.layernorm_forward(x, weight, bias, eps)
        yield Call(
            given, dict(zip(("dx", "dweight", "dbias"), ops.layernorm_backward(dout, cache), strict=True))
        )
    numeric = {
        "dx": slopes(lambda x: ops.layernorm_forward(x, weight, bias, eps)[0], x, dout),
        "dweight": slopes(lambda w: ops.layernorm_forward(x, w, bias, eps)[0], weight, dout),
        "dbias": slopes(lambda b: ops.layernorm_forward(x, weight, b, eps)[0], bias, dout),
    }
    yield Call(given, numeric, **BY_DIFFERENCES)


def gelu_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, dout = 2 * rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    given = {"dout": dout, "x": x}
    yield Call(given, {"dx": ops.gelu_backward(dout, x)})
    yield Call(given, {"dx": slopes(lambda x: ops.gelu_forward(x)[0], x, dout)}, **BY_DIFFERENCES)


def embedding_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    ids, dout = np.array([2, 0, 3, 3, 2, 2, 5]), rng.normal(size=(7, 4))
    (table,) = ops.embedding_backward(dout, ([ids], [(7, 4)], np.dtype(np.float64)))
    yield Call({"dout": dout, "ids": ids, "rows": 7}, {"dtable": table})


def rmsnorm(x: Array, weight: Array, eps: float) -> Array:
    """Each row divided by the root of its mean square (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    return np.asarray(weight * x / np.sqrt((x * x).mean(-1, keepdims=True) + eps))


def rmsnorm_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, weight, dout = 2 * rng.normal(size=(4, 6)) + 1, rng.normal(size=6), rng.normal(size=(4, 6))
    for eps in (1e-6, 0.5):
        numeric = {
            "dx": slopes(partial(rmsnorm, weight=weight, eps=eps), x, dout),
            "dweight": slopes(partial(rmsnorm, x, eps=eps), weight, dout),
        }
        yield Call({"dout": dout, "x": x, "weight": weight, "eps": eps}, numeric, **BY_DIFFERENCES)


def sublayer_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    x, dout, up, up_bias = (rng.normal(size=size) for size in ((4, 6), (4, 6), (5, 6), 5))
    down, down_bias, weight, bias = (rng.normal(size=size) for size in ((6, 5), 6, 6, 6))
    parameters = {
        "up": up,
        "up_bias": up_bias,
        "down": down,
        "down_bias": down_bias,
        "weight": weight,
        "bias": bias,
    }

    def forward(x: Array) -> Array:
        y = ops.feed_forward_forward(x, up, up_bias, down, down_bias)[0]
        return ops.residual_layernorm_forward(y, x, weight, bias)[0]

    yield Call({"dout": dout, "x": x, **parameters}, {"dx": slopes(forward, x, dout)}, **BY_DIFFERENCES)


LESSON = Lesson(
    3,
    "layer",
    "a layer",
    (
        Number(
            "layer_parameters",
            "The size of a layer",
            """
            How many parameters has one layer of a BERT-base (H = 768, I = 3072), biases and layernorms
            included?
            """,
            layer_parameters,
            tolerance=1e-9,
        ),
        Function(
            "layernorm",
            "Layer normalisation",
            """
            Return y [T, H]: each row of x [T, H] with mean 0 and variance 1, then times weight [H] plus bias
            [H]. The variance is divided by H, and eps is added to it.
            """,
            "x, weight, bias, eps",
            layernorm_calls,
        ),
        Function(
            "layernorm_backward",
            "Its gradient",
            """
            Return (dx, dweight, dbias), [T, H], [H] and [H], from dout [T, H] and what went in. A number of x
            moves its own result, the mean, and the variance.
            """,
            "dout, x, weight, eps",
            layernorm_backward_calls,
        ),
        Choice(
            "broken_layernorm",
            "Break a gradient",
            """
            In a clone, delete `- normed * along_normed` from the last line but one of `layernorm_backward` in
            `minidistil/ops/layernorm.py`. Which gradients go wrong (a, b, c), and which checks say so (d, e,
            f)? Predict, then run them, and put the line back.
            """,
            (
                "dx",
                "dweight",
                "dbias",
                "`minidistil gradcheck ops.layernorm`",
                "`minidistil gradcheck ops.attention`",
                "`minidistil gradcheck ops.layernorm --backend numba`",
            ),
            "32f60b3df0bc293a",
        ),
        Function(
            "gelu_backward",
            "GELU",
            """
            Return the gradient of the exact GELU, x Phi(x), from dout and x. `math.erf` and `np.vectorize`
            give Phi(x) = (1 + erf(x / sqrt(2))) / 2.
            """,
            "dout, x",
            gelu_backward_calls,
        ),
        Function(
            "embedding_backward",
            "A lookup learns",
            """
            out[t] = table[ids[t]]. Return dtable [rows, H] from dout [T, H] and ids [T]. Ids repeat. Write it
            once with `np.add.at`, once as a product with a matrix of zeros and ones, once with a sort and
            `np.add.reduceat`: which one would you take for 30,522 rows?
            """,
            "dout, ids, rows",
            embedding_backward_calls,
        ),
        Function(
            "rmsnorm_backward",
            "RMSNorm",
            """
            Many newer models leave out the mean: y_j = w_j x_j / sqrt(mean(x^2) + eps) for each row. Return
            (dx, dweight) from dout [T, H], x [T, H], weight [H] and eps. To which direction is dx orthogonal,
            but for eps?
            """,
            "dout, x, weight, eps",
            rmsnorm_backward_calls,
        ),
        Function(
            "sublayer_backward",
            "A whole sub-layer",
            """
            y = layernorm(x + gelu(x up^T + up_bias) down^T + down_bias) with weight and bias of the layernorm
            and eps = 1e-12; up is [I, H], down is [H, I]. Return dx [T, H] from dout [T, H]. Call what you
            have written. x is used twice.
            """,
            "dout, x, up, up_bias, down, down_bias, weight, bias",
            sublayer_backward_calls,
        ),
    ),
)

"""Lesson 2: attention and its gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidistil import ops
from minidistil.arrays import Array
from minidistil.course.comparison import slopes
from minidistil.course.exercises import BY_DIFFERENCES, Call, Choice, Function, Lesson, Number
from minidistil.ops.attention import split_heads


def one_head(q: Array, k: Array, v: Array) -> tuple[Array, Any]:
    """Attention of one head within one sequence, each [L, D]; as the package computes it."""
    out, cache = ops.attention_forward(np.concatenate([q, k, v], axis=1), np.array([0, len(q)]), 1)
    return out, cache


def first_probability() -> float:
    q, k = np.array([[2.0, 0, 0, 0], [0, 0, 0, 0]]), np.array([[np.log(3), 0, 0, 0], [0, 0, 0, 5]])
    return float(one_head(q, k, k)[1][-1][0][0, 0, 0])


def attention_forward_calls(rng: np.random.Generator) -> Iterator[Call]:
    for length, width in ((5, 3), (1, 4)):
        q, k, v = (rng.normal(size=(length, width)) for _ in range(3))
        out, cache = one_head(q, k, v)
        yield Call({"q": q, "k": k, "v": v}, {"out": out, "p": cache[-1][0][0]})


def attention_backward_calls(rng: np.random.Generator) -> Iterator[Call]:
    q, k, v, dout = (rng.normal(size=(5, 3)) for _ in range(4))
    given = {"dout": dout, "q": q, "k": k, "v": v}
    _, cache = one_head(q, k, v)
    dqkv = ops.attention_backward(dout, cache)
    yield Call(given, dict(zip(("dq", "dk", "dv"), np.split(dqkv, 3, axis=1), strict=True)))
    numeric = {
        "dq": slopes(lambda q: one_head(q, k, v)[0], q, dout),
        "dk": slopes(lambda k: one_head(q, k, v)[0], k, dout),
        "dv": slopes(lambda v: one_head(q, k, v)[0], v, dout),
    }
    yield Call(given, numeric, **BY_DIFFERENCES)


def split_heads_calls(rng: np.random.Generator) -> Iterator[Call]:
    for heads in (2, 3):
        x = rng.normal(size=(5, 12))
        yield Call({"x": x, "num_heads": heads}, {"heads": split_heads(x, heads)})


def packed_attention_calls(rng: np.random.Generator) -> Iterator[Call]:
    for cu_seqlens in ([0, 7], [0, 1, 3, 8]):
        cu, qkv = np.array(cu_seqlens), rng.normal(size=(cu_seqlens[-1], 18))
        yield Call(
            {"qkv": qkv, "cu_seqlens": cu, "num_heads": 2}, {"out": ops.attention_forward(qkv, cu, 2)[0]}
        )


LESSON = Lesson(
    2,
    "attention",
    "attention and its gradient",
    (
        Number(
            "first_probability",
            "One query, two keys",
            """
            A head has D = 4 columns. The query is (2, 0, 0, 0), the keys are (log 3, 0, 0, 0) and (0, 0, 0,
            5). What is the probability of the first key?
            """,
            first_probability,
        ),
        Choice(
            "why_scale",
            "The scale of the scores",
            """
            The entries of queries and keys are independent, with mean 0 and variance 1, and D = 64. What is
            the standard deviation of q.k (a, b or c), and what happens without the factor 1 / sqrt(D) (d, e
            or f)?
            """,
            (
                "1",
                "8",
                "64",
                "all keys of a query get nearly the same probability",
                "one key of a query gets nearly all of its probability, and the scores nearly no gradient",
                "the rows of the probabilities no longer sum to 1",
            ),
            "2721a9bfb399847a",
        ),
        Function(
            "attention_forward",
            "One head forward",
            """
            Return (out, p) of one head of one sequence, from q, k, v [L, D]: p = softmax(q k^T / sqrt(D)) by
            rows [L, L], and out = p v [L, D].
            """,
            "q, k, v",
            attention_forward_calls,
        ),
        Function(
            "attention_backward",
            "One head backward",
            """
            Return (dq, dk, dv), each [L, D], from dout [L, D] and q, k, v. Compute p again, then go from the
            last line of the forward pass to the first. `softmax_backward` of lesson 1 is one of the steps.
            """,
            "dout, q, k, v",
            attention_backward_calls,
        ),
        Function(
            "split_heads",
            "Columns to heads",
            """
            x [L, A D] has A heads side by side, each of D neighbouring columns. Return them as [A, L, D].
            """,
            "x, num_heads",
            split_heads_calls,
        ),
        Function(
            "packed_attention",
            "Several heads, several sequences",
            """
            qkv [T, 3 H] holds queries, keys and values side by side, for sequences end to end: sequence b has
            the rows from cu_seqlens[b] to cu_seqlens[b + 1]. Return out [T, H] of num_heads heads, in which
            no token sees another sequence.
            """,
            "qkv, cu_seqlens, num_heads",
            packed_attention_calls,
        ),
        Choice(
            "zero_gradients",
            "Gradients that are zero",
            """
            A BERT for question answering scores every token as a start, and the loss is the cross-entropy of
            a softmax over the tokens of a sequence. Which of these biases, all of the last layer or above it,
            have gradient zero for any weights and any input? Prove each; then look at the numbers of
            `minidistil.verify.model_cases.tiny_model("BertForQuestionAnswering", ops)`.
            """,
            (
                "`attention.self.query.bias`",
                "`attention.self.key.bias`",
                "`attention.self.value.bias`",
                "`output.dense.bias`",
                "`output.LayerNorm.bias`",
                "`qa_outputs.bias`",
            ),
            "70b33dcf4994f5fa",
        ),
    ),
)

"""Compilation in advance of the kernels of training and prediction in float32."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minidistil import kernels, threads
from minidistil.kernels.engine.pool import awake_pool
from minidistil.ops.dropout import Mask
from minidistil.ops.linear_cross_entropy import LinearHead

TOKENS, WIDTH, HEADS, WORDS = 8, 32, 2, 40


def _normal(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _linear() -> None:
    weight, bias = _normal(WIDTH, WIDTH), _normal(WIDTH)
    out, cache = kernels.linear_forward(_normal(TOKENS, WIDTH), weight, bias)
    kernels.linear_backward(out, cache)
    kernels.pack_weight(weight)  # as products of many rows do too


def _linear_activation() -> None:
    given = _normal(TOKENS, WIDTH), _normal(WIDTH, WIDTH), _normal(WIDTH)
    out, cache = kernels.linear_activation_forward(*given)
    kernels.linear_activation_backward(out, cache)


def _mask() -> Mask:
    return Mask(0.1, (1, 2), np.zeros(TOKENS, np.int64), np.arange(TOKENS, dtype=np.int32))


def _feed_forward() -> None:
    weight, bias = _normal(WIDTH, WIDTH), _normal(WIDTH)
    out, cache = kernels.feed_forward_forward(_normal(TOKENS, WIDTH), weight, bias, weight, bias)
    kernels.feed_forward_backward(out, cache)


def _attention() -> None:
    cu_seqlens = np.array([0, 3, TOKENS], np.int32)
    qkv, bias = _normal(TOKENS, 3 * WIDTH), _normal(HEADS, 2 * TOKENS - 1)
    out, cache = kernels.attention_forward(qkv, cu_seqlens, HEADS, _mask(), bias)
    kernels.attention_backward(out, cache, bias)
    weight, bias = _normal(3 * WIDTH, WIDTH), _normal(3 * WIDTH)
    kernels.cls_attention(_normal(TOKENS, WIDTH), cu_seqlens, weight, bias, HEADS)


def _layernorm() -> None:
    x, gain = _normal(TOKENS, WIDTH), _normal(WIDTH)
    out, cache = kernels.residual_layernorm_forward(x, x, gain, gain, mask=_mask())
    kernels.residual_layernorm_backward(out, cache)


def _embedding() -> None:
    ids = np.zeros(TOKENS, np.int32)
    out, cache = kernels.embedding_forward([_normal(WORDS, WIDTH)], [ids])
    kernels.embedding_backward(out, cache)


def _dropout() -> None:
    kernels.dropout_forward(_normal(TOKENS, WIDTH), _mask())


def _vocabulary() -> None:
    last = _normal(TOKENS, WIDTH), _normal(WORDS, WIDTH), _normal(WORDS)
    kernels.linear_cross_entropy(*last, labels=np.zeros(TOKENS, np.int64), teacher=LinearHead(*last))


def _adamw() -> None:
    arrays = [_normal(TOKENS) ** 2 for _ in range(4)]
    settings: dict[str, Any] = {
        "lr": 1e-3,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "step": 1,
    }
    kernels.adamw_step(*arrays, **settings)
    kernels.global_norm(arrays[0])


# In this order, and from both ends, the two halves take about as long.
STEPS: list[Callable[[], Any]] = [
    awake_pool,
    _linear,
    _linear_activation,
    _feed_forward,
    _vocabulary,
    _adamw,
    _dropout,
    _embedding,
    _layernorm,
    _attention,
]


def warmup(progress: Callable[[list[Callable[[], Any]]], Iterable[Callable[[], Any]]] = iter) -> None:
    """Compile every kernel that a model calls in float32, or load it from the cache.

    Parameters
    ----------
    progress : callable
        Wraps the list of steps on its way through the loop, as tqdm does.
    """
    for step in progress(STEPS):
        step()


@contextmanager
def second_process() -> Iterator[None]:
    """Beside `warmup`, compile from the last step on in a process of its own, if there is a core for it.

    From where they meet, `warmup` loads what the other left in the cache, and the other has no more to do.
    """
    if threads.available_cores() < 2:
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=os.environ | {"MINIDISTIL_THREADS": "1"},
    )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    for step in reversed(STEPS):
        step()

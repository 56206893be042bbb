"""Batches of examples, in their order.

Inside minidistil nothing is padded, so a batch of uneven lengths costs no more than an even one. Batches of
similar lengths are therefore no faster here, and they are not random samples: steps over short texts only
alternate with steps over long ones. On movie reviews that cost a point of accuracy (docs/decisions.md), so
`group_by_length` is off unless asked for; whoever pads, or compares with a program that does, wants it.

DistilBERT's authors put lengths into buckets 4 wide and cut batches within a bucket, so that they padded by 3
tokens at most. Buckets are left out here on purpose. There is no padding to save, and sorting 50 batches
together brings lengths nearly as close: within a batch they differ by about a fiftieth of their spread.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Int64
from minidistil.errors import UsageError
from minidistil.ops.philox import random_order

PURPOSE = 0xBA7C4  # sets these random numbers apart from dropout's and masking's under the same seed
EXAMPLES, BATCHES = 0, 1
TOKENS_AT_ONCE = 4096  # for inference: rows enough for products at full speed, few enough to stay in cache
MEGA = 50  # batches sorted together: enough to even out lengths, few enough to keep the order random


def epoch_batches(
    lengths: npt.ArrayLike,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    group_by_length: bool = False,
) -> list[Int64]:
    """The batches of one epoch; each example appears once. Depends on the arguments only.

    Shuffle; with `group_by_length`, sort every run of 50 batches by length, cut, and shuffle the batches.

    Parameters
    ----------
    lengths : [N]
        Tokens in each example.
    batch_size : int
        Examples in a batch. The last batch holds the rest.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, not {batch_size}")
    sizes = np.asarray(lengths)
    order = random_order(len(sizes), seed, PURPOSE, epoch, EXAMPLES)
    if group_by_length:
        runs = [order[i : i + MEGA * batch_size] for i in range(0, len(order), MEGA * batch_size)]
        order = np.concatenate([order[:0], *(run[np.argsort(-sizes[run], kind="stable")] for run in runs)])
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    if group_by_length:
        batches = [batches[i] for i in random_order(len(batches), seed, PURPOSE, epoch, BATCHES)]
    return batches


def sorted_batches(lengths: npt.ArrayLike, max_tokens: int) -> list[Int64]:
    """Batches for inference: longest first, as many examples as fit into `max_tokens`, at least one.

    The longest come first so that memory peaks at once. The caller restores the order: results of
    `batch` belong at `out[batch]`.
    """
    sizes = np.asarray(lengths)
    batches: list[Int64] = []
    order = np.argsort(-sizes, kind="stable")
    start = tokens = 0
    for i, index in enumerate(order):
        if i > start and tokens + sizes[index] > max_tokens:
            batches.append(order[start:i])
            start, tokens = i, 0
        tokens += int(sizes[index])
    if start < len(order):
        batches.append(order[start:])
    return batches

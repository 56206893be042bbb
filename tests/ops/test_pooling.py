"""Pooling tokens into sentences: by hand, the definition, its gradient, its edges."""

import numpy as np
import pytest

from minidistil.batch import Batch
from minidistil.errors import UsageError
from minidistil.ops.pooling import pool_backward, pool_forward
from minidistil.verify.finite_differences import Case, check_gradient

BATCH = Batch.from_sequences([np.arange(n) for n in (3, 1, 5)])

# Of the tokens [n, H] of one sequence, and their positions counted from 1.
OF_ONE = {
    "mean": lambda x, t: x.mean(0),
    "cls": lambda x, t: x[0],
    "max": lambda x, t: x.max(0),
    "mean_sqrt_len_tokens": lambda x, t: x.sum(0) / np.sqrt(len(x)),
    "weightedmean": lambda x, t: t @ x / t.sum(),
    "lasttoken": lambda x, t: x[-1],
}
SEVERAL = ("mean+cls", "weightedmean+max+lasttoken+mean_sqrt_len_tokens")


def tokens(seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((BATCH.num_tokens, 4)).astype(dtype)


def test_by_hand(backend):
    """Sequences (3, -1, 1), (2) and (0, 4, -6, 0, 10) of numbers. Their sums are 3, 2 and 8, so the means
    are 1, 2 and 8/5; divided by the root of the length they are 3 / sqrt 3, 2 and 8 / sqrt 5.

    Weighted by position: (1*3 - 2*1 + 3*1) / (1 + 2 + 3) = 4/6, and (2*4 - 3*6 + 5*10) / 15 = 40/15.

    Backward, a token gets its share of the gradient: 1/3 each of a mean of three, 1/6, 2/6 and 3/6 of a
    weighted one. A maximum is one token's alone.
    """
    x = np.array([[3.0], [-1], [1], [2], [0], [4], [-6], [0], [10]])
    for pooling, expected in [
        ("mean", [1, 2, 8 / 5]),
        ("mean_sqrt_len_tokens", [3 / 3**0.5, 2, 8 / 5**0.5]),
        ("weightedmean", [4 / 6, 2, 40 / 15]),
        ("max", [3, 2, 10]),
        ("cls", [3, 2, 0]),
        ("lasttoken", [1, 2, 10]),
    ]:
        np.testing.assert_allclose(backend.pool_forward(x, BATCH, pooling)[0][:, 0], expected)
    for pooling, expected in [
        ("mean", [1 / 3] * 3 + [1] + [1 / 5] * 5),
        ("weightedmean", [1 / 6, 2 / 6, 3 / 6, 1, 1 / 15, 2 / 15, 3 / 15, 4 / 15, 5 / 15]),
        ("max", [1, 0, 0, 1, 0, 0, 0, 0, 1]),
    ]:
        dx = backend.pool_backward(np.ones((3, 1)), backend.pool_forward(x, BATCH, pooling)[1])
        np.testing.assert_allclose(dx[:, 0], expected)


@pytest.mark.parametrize("skip", [0, 2])
@pytest.mark.parametrize("pooling", [*OF_ONE, *SEVERAL])
def test_definition_and_gradient(pooling, skip):
    x = tokens()
    pooled, _ = pool_forward(x, BATCH, pooling, skip=skip)
    for b, (begin, end) in enumerate(zip(BATCH.cu_seqlens, BATCH.cu_seqlens[1:], strict=False)):
        first = min(skip, end - begin - 1)  # the last token stays, whatever the prompt's length
        kept, positions = x[begin + first : end], np.arange(first, end - begin) + 1.0
        expected = np.concatenate([OF_ONE[kind](kept, positions) for kind in pooling.split("+")])
        np.testing.assert_allclose(pooled[b], expected, rtol=1e-13)
    case = Case(
        {"x": x},
        lambda: {"pooled": pool_forward(x, BATCH, pooling, skip=skip)[0]},
        lambda douts: {"x": pool_backward(douts["pooled"], pool_forward(x, BATCH, pooling, skip=skip)[1])},
    )
    assert all(result.passed for result in check_gradient(case))


def test_equal_largest_tokens_share():
    x = np.ones((9, 2))
    _, cache = pool_forward(x, BATCH, "max")
    dx = pool_backward(np.full((3, 2), 6.0), cache)
    np.testing.assert_array_equal(dx[:, 0], [2] * 3 + [6] + [1.2] * 5)


@pytest.mark.parametrize("pooling", [*OF_ONE, *SEVERAL])
def test_float32_stays_and_nothing_has_no_vectors(pooling):
    pooled, cache = pool_forward(tokens(dtype=np.float32), BATCH, pooling)
    assert pooled.dtype == pool_backward(pooled, cache).dtype == np.float32
    nothing, cache = pool_forward(np.zeros((0, 4)), Batch.from_sequences([]), pooling)
    assert nothing.shape == (0, 4 * len(pooling.split("+")))
    assert pool_backward(nothing, cache).shape == (0, 4)


def test_unknown_kind():
    with pytest.raises(UsageError, match="pooling is 'median': expected one of mean, cls, max"):
        pool_forward(tokens(), BATCH, "mean+median")

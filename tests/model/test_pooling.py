"""Pooling tokens into sentences: the definition, its gradient, its edges."""

import numpy as np
import pytest

from minidistil.errors import UsageError
from minidistil.model.pooling import pool_backward, pool_forward
from minidistil.packing import Batch
from minidistil.verify.differences import Case, check_gradient

BATCH = Batch.from_sequences([np.arange(n) for n in (3, 1, 5)])


def tokens(seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((BATCH.num_tokens, 4)).astype(dtype)


@pytest.mark.parametrize(
    ("kind", "of_one"), [("mean", lambda x: x.mean(0)), ("cls", lambda x: x[0]), ("max", lambda x: x.max(0))]
)
def test_definition_and_gradient(kind, of_one):
    x = tokens()
    pooled, _ = pool_forward(x, BATCH, kind)
    ends = BATCH.cu_seqlens
    for b in range(3):
        np.testing.assert_allclose(pooled[b], of_one(x[ends[b] : ends[b + 1]]), rtol=1e-14)
    case = Case(
        {"x": x},
        lambda: {"pooled": pool_forward(x, BATCH, kind)[0]},
        lambda douts: {"x": pool_backward(douts["pooled"], pool_forward(x, BATCH, kind)[1])},
    )
    assert all(result.passed for result in check_gradient(case))


def test_equal_largest_tokens_share():
    x = np.ones((9, 2))
    _, cache = pool_forward(x, BATCH, "max")
    dx = pool_backward(np.full((3, 2), 6.0), cache)
    np.testing.assert_array_equal(dx[:, 0], [2] * 3 + [6] + [1.2] * 5)


@pytest.mark.parametrize("kind", ["mean", "cls", "max"])
def test_float32_stays(kind):
    pooled, cache = pool_forward(tokens(dtype=np.float32), BATCH, kind)
    assert pooled.dtype == pool_backward(pooled, cache).dtype == np.float32


def test_unknown_kind():
    with pytest.raises(UsageError, match="pooling is 'median': expected one of mean, cls, max"):
        pool_forward(tokens(), BATCH, "median")

"""Attention of the first tokens alone: by hand, and the same as in full."""

import numpy as np
from numpy.testing import assert_allclose


def test_by_hand(backend):
    """Tokens of one number: x = 1 and 0 in one sequence, 4 in another. q = log 3 x, k = x + 5, v = 2 x + 1.

    The first token's query is log 3, which scores log 3 (x + 5) = log 3 (6, 5). The softmax does not see the
    5: P = (3/4, 1/4). So instead of values, the x themselves are averaged, 3/4 * 1 + 1/4 * 0 = 3/4, and the
    one mean is made a value: 2 * 3/4 + 1 = 5/2. A token alone gives 2 * 4 + 1 = 9.
    """
    weight, bias = np.array([[np.log(3)], [1], [2]]), np.array([0.0, 5, 1])
    out = backend.cls_attention(np.array([[1.0], [0], [4]]), np.array([0, 2, 3], np.int32), weight, bias, 1)
    assert_allclose(out, [[5 / 2], [9]], rtol=1e-12)


def test_it_is_a_row_of_attention(backend):
    rng = np.random.default_rng(0)
    x, weight, bias = (rng.normal(size=shape) for shape in ((9, 8), (24, 8), 24))
    cu = np.array([0, 1, 5, 9], np.int32)
    in_full, _ = backend.attention_forward(backend.linear_forward(x, weight, bias)[0], cu, 2)
    assert_allclose(backend.cls_attention(x, cu, weight, bias, 2), in_full[cu[:-1]], rtol=1e-11)

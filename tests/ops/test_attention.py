"""Attention by hand: a packed batch of two tokens and one, and what attention cannot see."""

import numpy as np
from numpy.testing import assert_allclose

LOG3, LOG9 = np.log(3), np.log(9)
CU = np.array([0, 2, 3], np.int32)
QKV = np.array([
    #     query             key             value
    [LOG9, 0, 0, 0,     1, 0, 0, 0,     4, 0, 0, 1],
    [0, 0, 0, 0,        0, 0, 0, 0,     8, 4, 0, 1],
    [5, 6, 7, 8,        9, 8, 7, 6,     0, 0, 3, 0],
])  # fmt: skip


def test_by_hand(backend):
    """One head of D = 4 columns, so scores are divided by sqrt(4) = 2. Query 0 scores (log 9, 0) / 2 =
    (log 3, 0) against keys 0 and 1: it looks at them as 3 to 1, P = (3/4, 1/4). Query 1 scores (0, 0): P =
    (1/2, 1/2). Their means of the values (4, 0, 0, 1) and (8, 4, 0, 1) are (5, 1, 0, 1) and (6, 2, 0, 1).
    Token 2 is alone in its sequence and gets its own value.

    Backward with do_0 = (1, 0, 0, 0), do_1 = 0 and do_2 = (0, 0, 0, 1):

        dv_0 = 3/4 do_0,  dv_1 = 1/4 do_0,  dv_2 = do_2
        dP_0 = (do_0 . v_0, do_0 . v_1) = (4, 8), whose mean under P_0 is 3/4 * 4 + 1/4 * 8 = 5
        dS_0 = P_0 (dP_0 - 5) = (-3/4, 3/4)
        dq_0 = 1/2 (-3/4 k_0 + 3/4 k_1) = (-3/8, 0, 0, 0)
        dk_0 = 1/2 * -3/4 q_0 = (-3/8 log 9, 0, 0, 0) = (-3/4 log 3, 0, 0, 0),  dk_1 = -dk_0

    A token alone gives all to its value: its one probability is 1 whatever the score.
    """
    out, cache = backend.attention_forward(QKV, CU, 1)
    assert_allclose(out, [[5, 1, 0, 1], [6, 2, 0, 1], [0, 0, 3, 0]], rtol=1e-12)
    first, alone = backend.attention_probabilities(QKV, CU, 1)
    assert_allclose(first, [[[3 / 4, 1 / 4], [1 / 2, 1 / 2]]])
    assert_allclose(alone, [[[1]]])
    assert_allclose(backend.attention_scores(QKV, CU, 1)[0], [[[LOG3, 0], [0, 0]]])
    expected = np.zeros((3, 12))
    expected[:2, 8] = 3 / 4, 1 / 4
    expected[2, 11] = 1
    expected[0, 0] = -3 / 8
    expected[:2, 4] = -3 / 4 * LOG3, 3 / 4 * LOG3
    dout = np.array([[1.0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    assert_allclose(backend.attention_backward(dout, cache), expected, rtol=1e-12, atol=1e-15)
    dscores, dprobabilities = backend.attention_map_gradients(dout, QKV, CU, 1)
    assert_allclose(dprobabilities[0], [[[4, 8], [0, 0]]])
    assert_allclose(dscores[0], [[[-3 / 4, 3 / 4], [0, 0]]])


def random_inputs(tokens=9, width=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(tokens, 3 * width)), rng.normal(size=(tokens, width))


def both(backend, qkv, dout, cu, heads=2):
    out, cache = backend.attention_forward(qkv, np.array(cu, np.int32), heads)
    return out, backend.attention_backward(dout, cache)


def test_a_head_is_a_call_of_its_own(backend):
    """Head h of two has columns 4 h to 4 h + 4 of queries, keys and values, and of the output."""
    qkv, dout = random_inputs()
    out, dqkv = both(backend, qkv, dout, [0, 4, 9])
    for h in range(2):
        columns = np.arange(4) + 4 * h
        thirds = np.concatenate([columns, columns + 8, columns + 16])
        o, d = both(
            backend, np.ascontiguousarray(qkv[:, thirds]), dout[:, columns].copy(), [0, 4, 9], heads=1
        )
        assert_allclose(out[:, columns], o, rtol=1e-12)
        assert_allclose(dqkv[:, thirds], d, rtol=1e-11, atol=1e-14)


def test_order_is_only_in_the_embeddings(backend):
    """Tokens in another order get the same results in that order: attention knows no positions."""
    qkv, dout = random_inputs()
    order = np.array([2, 0, 3, 1, 8, 4, 6, 7, 5])  # each stays in its sequence
    out, dqkv = both(backend, qkv, dout, [0, 4, 9])
    other_out, other_dqkv = both(backend, qkv[order], dout[order], [0, 4, 9])
    assert_allclose(other_out, out[order], rtol=1e-12)
    assert_allclose(other_dqkv, dqkv[order], rtol=1e-11, atol=1e-14)


def test_the_bias_of_the_keys_has_no_gradient(backend):
    """The same added to every key shifts a row of scores as a whole, which no softmax sees."""
    qkv, dout = random_inputs()
    out, dqkv = both(backend, qkv, dout, [0, 9])
    assert_allclose(dqkv[:, 8:16].sum(0), 0, atol=1e-12)
    qkv[:, 8:16] += np.arange(8)
    assert_allclose(both(backend, qkv, dout, [0, 9])[0], out, rtol=1e-11)


def by_definition(qkv, bias):
    """One sequence, number by number: softmax(q k / sqrt(D) + b of the distance), times the values."""
    heads, middle = len(bias), bias.shape[1] // 2
    L, D = len(qkv), qkv.shape[1] // 3 // heads
    q, k, v = (part.reshape(L, heads, D) for part in np.split(qkv, 3, axis=1))
    out = np.zeros((L, heads, D))
    for a in range(heads):
        for i in range(L):
            scores = [q[i, a] @ k[j, a] / np.sqrt(D) + bias[a, middle + (j - i)] for j in range(L)]
            weights = np.exp(scores) / np.exp(scores).sum()
            out[i, a] = sum(weight * v[j, a] for j, weight in enumerate(weights))
    return out.reshape(L, heads * D)


def test_a_bias_is_added_to_the_scores_by_distance(backend):
    qkv, dout = random_inputs()
    bias = np.random.default_rng(1).normal(size=(2, 15))  # up to a distance of 7
    cu = np.array([0, 1, 3, 9], np.int32)
    out, cache = backend.attention_forward(qkv, cu, 2, None, bias)
    for start, stop in ((0, 1), (1, 3), (3, 9)):
        assert_allclose(out[start:stop], by_definition(qkv[start:stop], bias), rtol=1e-12)
    plain, scores = backend.attention_scores(qkv, cu, 2), backend.attention_scores(qkv, cu, 2, bias)
    assert_allclose((scores[2] - plain[2])[:, 4, 1], bias[:, 7 - 3])
    for s, p in zip(scores, backend.attention_probabilities(qkv, cu, 2, bias), strict=True):
        assert_allclose(p, np.exp(s) / np.exp(s).sum(-1, keepdims=True))
    dbias = np.zeros_like(bias)
    backend.attention_backward(dout, cache, dbias)
    dscores, _ = backend.attention_map_gradients(dout, qkv, cu, 2, None, bias)
    for distance in range(-7, 8):
        diagonals = [np.diagonal(ds, distance, 1, 2).sum(-1) for ds in dscores if abs(distance) < ds.shape[1]]
        assert_allclose(dbias[:, 7 + distance], sum(diagonals), rtol=1e-10, atol=1e-14)


def test_the_same_added_to_every_distance_changes_nothing(backend):
    """No softmax sees it, so the gradient of the bias sums to zero for each head."""
    qkv, dout = random_inputs()
    bias, cu = np.random.default_rng(1).normal(size=(2, 17)), np.array([0, 9], np.int32)
    out, cache = backend.attention_forward(qkv, cu, 2, None, bias)
    _, dbias = backend.attention_backward(dout, cache, np.zeros_like(bias))
    assert_allclose(dbias.sum(1), 0, atol=1e-12)
    assert_allclose(backend.attention_forward(qkv, cu, 2, None, bias + 3)[0], out, rtol=1e-11)

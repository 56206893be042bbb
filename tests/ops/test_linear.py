"""The linear layer by hand, and how the gradients of its parameters accumulate."""

import numpy as np
from numpy.testing import assert_allclose

X = np.array([[1.0, 2], [3, 4]])  # 2 tokens, 2 inputs
WEIGHT = np.array([[1.0, 0], [1, 1], [0, 2]])  # one row for each of 3 outputs
BIAS = np.array([1.0, 0, -1])
DOUT = np.array([[1.0, 0, 2], [0, 1, 0]])


def test_by_hand(backend):
    """Each output is a row of W times the token, plus its bias. Token (1, 2):

        (1*1 + 0*2 + 1, 1*1 + 1*2 + 0, 0*1 + 2*2 - 1) = (2, 3, 3)

    Backward, dx is the sum of the rows of W, each times the gradient of its output. Token 0: 1 (1, 0) +
    2 (0, 2) = (1, 4). Row o of dW is the sum of the tokens, each times its gradient of output o: row 0 is
    1 (1, 2) + 0 (3, 4). The bias reaches every token, so db is the column sums of the gradient.
    """
    out, cache = backend.linear_forward(X, WEIGHT, BIAS)
    assert_allclose(out, [[2, 3, 3], [4, 7, 7]])
    dx, dweight, dbias = backend.linear_backward(DOUT, cache)
    assert_allclose(dx, [[1, 4], [1, 1]])
    assert_allclose(dweight, [[1, 2], [3, 4], [2, 4]])
    assert_allclose(dbias, [1, 1, 2])


def test_gradients_of_parameters_are_added_to_those_given(backend):
    """So two batches give what both together would: tied weights and accumulation need nothing else."""
    dweight, dbias = np.full((3, 2), 10.0), np.full(3, 10.0)
    backend.linear_backward(DOUT, backend.linear_forward(X, WEIGHT, BIAS)[1], dweight, dbias)
    assert_allclose(dweight, [[11, 12], [13, 14], [12, 14]])
    assert_allclose(dbias, [11, 11, 12])


def test_without_a_bias(backend):
    assert_allclose(backend.linear_forward(X, WEIGHT)[0], [[1, 3, 4], [3, 7, 8]])


def test_a_packed_weight_gives_the_same(backend):
    packed = backend.linear_forward(X, backend.pack_weight(WEIGHT), BIAS)[0]
    np.testing.assert_array_equal(packed, backend.linear_forward(X, WEIGHT, BIAS)[0])

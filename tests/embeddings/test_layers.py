"""Layers above pooling, by hand."""

import math

import numpy as np
import pytest

from minidistil.embeddings.layers import ACTIVATIONS, Dense, LayerNorm, Normalize
from minidistil.model.packed_model import get_backend


def test_by_hand():
    """x = [3, 4] has length 5; W = [[1, 0], [1, 1], [0, 2]] and b = [0, 0, -10] make 3, 7, -2; ReLU 3, 7, 0.

    With a residual, V = [[0, 0], [0, 0], [1, 0]] adds 3 to the last. (3, 7, 3) has the mean 13/3 and the
    variance 32/9.
    """
    backend, x = get_backend("numpy"), np.array([[3.0, 4.0]])
    np.testing.assert_allclose(Normalize()(x, backend), [[0.6, 0.8]])
    weight, bias = np.array([[1.0, 0], [1, 1], [0, 2]]), np.array([0.0, 0, -10])
    shortcut = np.array([[0.0, 0], [0, 0], [1, 0]])
    dense = Dense(weight, bias, "ReLU", residual=True, shortcut=shortcut)
    np.testing.assert_allclose(Dense(weight, bias, "Identity")(x, backend), [[3, 7, -2]])
    np.testing.assert_allclose(dense(x, backend), [[3, 7, 3]])
    assert (dense.width(2), Normalize().width(2)) == (3, 2)
    norm = LayerNorm(np.full(3, 2.0), np.ones(3), eps=0)
    deviations = np.array([[-4, 8, -4]]) / 3
    np.testing.assert_allclose(norm(dense(x, backend), backend), 1 + 2 * deviations / math.sqrt(32 / 9))


@pytest.mark.parametrize("name", ["numba", "numpy"])
def test_activations(name):
    backend = get_backend(name)
    x = np.array([[-30.0, -0.5, 0, 0.5, 30]])
    by_hand = {
        "Identity": x,
        "Tanh": np.tanh(x),
        "ReLU": [[0, 0, 0, 0.5, 30]],
        "GELU": [[0, -0.5 * 0.3085375387, 0, 0.5 * 0.6914624613, 30]],
        "Sigmoid": 1 / (1 + np.exp(-x)),
        "SiLU": x / (1 + np.exp(-x)),
        "LeakyReLU": [[-0.3, -0.005, 0, 0.5, 30]],
        "ELU": [[-1, math.exp(-0.5) - 1, 0, 0.5, 30]],
        "Softplus": np.log1p(np.exp(x)),
    }
    assert by_hand.keys() == ACTIVATIONS.keys()
    for name, expected in by_hand.items():
        np.testing.assert_allclose(ACTIVATIONS[name](x, backend), expected, atol=1e-9)
        assert ACTIVATIONS[name](x.astype(np.float32), backend).dtype == np.float32

"""Layer normalisation: the same bits wherever its arrays lie in memory."""

import itertools

import numpy as np
import pytest

from minidistil.kernels import layernorm
from minidistil.kernels.dropout import drop_of
from minidistil.kernels.engine.pool import awake_pool


@pytest.mark.parametrize("width", [8, 24, 48])
def test_a_row_is_normalised_alike_wherever_its_arrays_lie(width):
    """Addresses of arrays that the compiler cannot tell apart decide on its loop, and not on the bits."""
    rng = np.random.default_rng(width)
    x, residual, weight, bias = (rng.standard_normal(width).astype(np.float32) for _ in range(4))
    found = set()
    for order in itertools.permutations(range(4)):
        for gap in (0, 4, 8, 16, 40, 1000):
            room = np.zeros(4 * (width + gap), np.float32)
            places = [room[k * (width + gap) :][:width].reshape(1, -1) for k in order]
            places[0][:], places[1][:] = x, residual
            rstd, drop = np.empty(1, np.float32), drop_of(None, np.dtype(np.float32))
            near, other, out, normed = places
            layernorm._normalise_all(
                awake_pool(), near, other, True, weight, bias, np.float32(1e-12), out, normed, rstd, drop
            )
            found.add((out.tobytes(), normed.tobytes(), rstd.tobytes()))
    assert len(found) == 1

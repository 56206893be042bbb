"""AdamW and the gradient norm: hand values, and the kernels against the textbook."""

import math

import numpy as np
import pytest

from minidistil import threads
from minidistil.kernels import adamw as kernel
from minidistil.ops import adamw as textbook

SIZES = [0, 1, 17, 65_537, 132_000]
SETTINGS = {"lr": 3e-3, "beta1": 0.9, "beta2": 0.98, "eps": 1e-6, "weight_decay": 0.1}


@pytest.fixture
def any_threads():
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


def arrays(n, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n).astype(dtype) for _ in range(3)]


def run(backend, n, dtype, steps=2):
    p, g1, g2 = arrays(n, dtype)
    m, v = np.zeros(n, dtype), np.zeros(n, dtype)
    for step in range(1, steps + 1):
        backend.adamw_step(p, g1 if step % 2 else g2, m, v, step=step, scale=0.7, **SETTINGS)
    return p, m, v


def test_one_element_by_hand():
    p, g = np.array([2.0]), np.array([-0.5])
    m, v = np.array([0.1]), np.array([0.2])
    args = {
        "lr": 0.01,
        "beta1": 0.9,
        "beta2": 0.99,
        "eps": 1e-3,
        "weight_decay": 0.5,
        "step": 2,
        "scale": 0.4,
    }
    textbook.adamw_step(p, g, m, v, **args)
    assert m[0] == pytest.approx(0.9 * 0.1 + 0.1 * -0.2, rel=1e-15)
    assert v[0] == pytest.approx(0.99 * 0.2 + 0.01 * 0.04, rel=1e-15)
    denominator = math.sqrt(0.1984) / math.sqrt(1 - 0.99**2) + 1e-3
    assert p[0] == pytest.approx(2 * (1 - 0.005) - 0.01 / (1 - 0.81) * 0.07 / denominator, rel=1e-15)


def test_trajectory_against_pytorch():
    """Five updates by torch.optim.AdamW (2.13.0, float64): p = (1, -2, 0.5), gradient = step * p + 0.1."""
    p = np.array([1.0, -2.0, 0.5])
    m, v = np.zeros(3), np.zeros(3)
    for step in range(1, 6):
        textbook.adamw_step(p, step * p + 0.1, m, v, step=step, **SETTINGS)
    np.testing.assert_allclose(p, [0.983971881633509, -1.9825606739206978, 0.4846673549392471], rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_kernel_equals_textbook_bit_for_bit(n, dtype):
    for ours, reference in zip(run(kernel, n, dtype), run(textbook, n, dtype), strict=True):
        assert ours.dtype == reference.dtype
        np.testing.assert_array_equal(ours, reference)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", SIZES)
def test_norm(n, dtype):
    g = arrays(n, dtype)[0]
    exact = math.sqrt(math.fsum(float(x) ** 2 for x in g))
    assert textbook.global_norm(g) == pytest.approx(exact, rel=1e-14)
    assert kernel.global_norm(g) == pytest.approx(exact, rel=1e-10)  # in order when not compiled


@pytest.mark.parametrize("backend", [textbook, kernel])
def test_number_of_threads_changes_no_bit(backend, any_threads):
    results = []
    for count in (1, 2, 3, 4):
        any_threads(count)
        arrays_out = run(backend, 132_000, "float32")
        results.append([x.tobytes() for x in arrays_out] + [backend.global_norm(arrays_out[0])])
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize("backend", [textbook, kernel])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_survive(backend, bad, any_threads):
    any_threads(1)  # errstate holds in this thread only
    g = np.ones(70_000, np.float32)
    g[69_999] = bad
    assert not math.isfinite(backend.global_norm(g))
    p, m, v = np.ones_like(g), np.zeros_like(g), np.zeros_like(g)
    with np.errstate(invalid="ignore"):
        backend.adamw_step(p, g, m, v, step=1, **SETTINGS)
    assert not np.isfinite(m[-1])
    assert not np.isfinite(v[-1])
    assert np.isnan(p[-1])
    assert np.isfinite(p[:-1]).all()


def test_large_float32_gradients_do_not_overflow_the_norm():
    assert kernel.global_norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30, rel=1e-7)
    assert textbook.global_norm(np.full(4, 1e30, np.float32)) == pytest.approx(2e30, rel=1e-7)

"""Dropout by hand; its masks: how much they drop, and that they depend on coordinates alone."""

import numpy as np
import pytest

from minidistil.ops.dropout import Dropout, keep_mask
from minidistil.ops.philox import philox


def mask(rate=0.3, layer=0, site=0, *, seed=1, step=2, examples=range(40), length=25):
    examples = np.asarray(examples)
    return Dropout(seed, step).mask(
        rate,
        layer,
        site,
        np.repeat(examples, length),
        np.tile(np.arange(length, dtype=np.int32), len(examples)),
    )


def test_by_hand(backend):
    """The row of token 1 of example 7 has 6 columns, so it takes 2 counters of four random words. The words
    of counter 0 decide on columns 0, 2, 4 (and 6, which is not there), those of counter 1 on 1, 3, 5 (and 7):

        counter 0   3657941364  3788628583  1569596736  2919116956   columns 0, 2, 4: kept, kept, dropped
        counter 1   1021398733  1479978767  2554536830   615636639   columns 1, 3, 5: dropped, dropped, kept

    since at rate 1/2 a word below 2^31 = 2147483648 drops. What is kept is doubled. The gradient meets the
    same factors, drawn again.
    """
    one = Dropout(seed=0, step=0).mask(0.5, layer=0, site=0, example=np.array([7]), position=np.array([1]))
    words = [[int(word) for word in philox(i, 1, 7, 0, one.key)] for i in range(2)]
    assert words == [
        [3657941364, 3788628583, 1569596736, 2919116956],
        [1021398733, 1479978767, 2554536830, 615636639],
    ]
    out, cache = backend.dropout_forward(np.array([[1.0, 2, 3, 4, 5, 6]]), one)
    np.testing.assert_array_equal(out, [[2, 0, 6, 0, 0, 12]])
    dx = backend.dropout_backward(np.array([[1.0, 1, 1, 1, 1, 10]]), cache)
    np.testing.assert_array_equal(dx, [[2, 0, 2, 0, 0, 20]])


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_rate(rate):
    kept = keep_mask(mask(rate), 64)
    assert kept.shape == (1000, 64)
    deviation = (rate * (1 - rate) / kept.size) ** 0.5
    assert abs(kept.mean() - (1 - rate)) < 5 * deviation
    # Neither rows, nor columns, nor neighbours hang together.
    for axis in (0, 1):
        expected = rate * (1 - rate) / kept.shape[axis]
        assert kept.mean(axis).var() == pytest.approx(expected, rel=0.6)
    both = (kept[:, 1:] & kept[:, :-1]).mean()
    assert abs(both - (1 - rate) ** 2) < 6 * deviation


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_kept_is_scaled_so_that_the_mean_stays(backend, dtype):
    x = np.full((1000, 30), 2.0, dtype)
    out, cache = backend.dropout_forward(x, mask(0.25))
    assert out.dtype == dtype
    np.testing.assert_allclose(np.unique(out), [0, 2 / 0.75], rtol=1e-6)
    assert out.mean() == pytest.approx(2, rel=0.02)
    np.testing.assert_array_equal(backend.dropout_backward(x, cache), out)


def test_no_mask_is_no_dropout(backend):
    x = np.ones((3, 4))
    assert Dropout(1, 2).mask(0.0, 0, 0, np.arange(3), np.arange(3)) is None
    out, cache = backend.dropout_forward(x, None)
    np.testing.assert_array_equal(out, x)
    np.testing.assert_array_equal(backend.dropout_backward(x, cache), x)


def test_an_example_has_its_mask_whatever_batch_it_is_in(backend):
    x = np.ones((25, 17), np.float32)
    alone = backend.dropout_forward(x, mask(examples=[11]))[0]
    order = np.array([5, 11, 2**31 + 5, 0])
    together = backend.dropout_forward(np.tile(x, (4, 1)), mask(examples=order))[0]
    np.testing.assert_array_equal(together[25:50], alone)
    shorter = backend.dropout_forward(x[:9], mask(examples=[11], length=9))[0]
    np.testing.assert_array_equal(shorter, alone[:9])
    others = [together[i * 25 : (i + 1) * 25] for i in (0, 2, 3)]
    assert all((other != alone).any() for other in others)


def test_masks_differ_by_seed_step_layer_site_and_plane():
    masks = [mask(), mask(seed=2), mask(step=3), mask(layer=1), mask(site=1)]
    kept = [keep_mask(m, 20) for m in masks] + [keep_mask(masks[0], 20, plane=1)]
    for i, a in enumerate(kept):
        for b in kept[:i]:
            assert 0.3 < (a ^ b).mean() < 0.55  # 2 * 0.3 * 0.7 for independent ones


def test_attention_keeps_its_masks_in_any_batch(backend):
    rng = np.random.default_rng(0)
    qkv = rng.standard_normal((10, 24))
    lengths, examples = np.array([4, 1, 5]), np.array([7, 8, 9])

    def run(order):
        rows = np.concatenate([np.arange(10)[np.repeat(np.arange(3), lengths) == b] for b in order])
        cu_seqlens = np.cumsum([0, *lengths[order]], dtype=np.int32)
        positions = np.concatenate([np.arange(n, dtype=np.int32) for n in lengths[order]])
        m = Dropout(1, 2).mask(0.4, 0, 1, np.repeat(examples[order], lengths[order]), positions)
        out, cache = backend.attention_forward(qkv[rows], cu_seqlens, 2, m)
        dqkv = backend.attention_backward(np.cos(qkv[rows, :8]), cache)
        return {int(row): (o, d) for row, o, d in zip(rows, out, dqkv, strict=True)}

    first = run(np.array([0, 1, 2]))
    for other in (run(np.array([2, 0, 1])), run(np.array([2])), run(np.array([0]))):
        for row, (out, dqkv) in other.items():
            np.testing.assert_allclose(out, first[row][0], rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(dqkv, first[row][1], rtol=1e-12, atol=1e-14)

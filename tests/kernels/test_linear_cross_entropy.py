"""The losses over the vocabulary, in chunks, against the textbook: nothing of [T, V] is ever held."""

import importlib

import numpy as np
import pytest

from minidistil import kernels, ops
from minidistil.errors import InputError, UsageError
from minidistil.losses import IGNORE_INDEX, cross_entropy, soft_label_kl
from minidistil.ops.linear_cross_entropy import LinearHead, TopKLogits

vocabulary = importlib.import_module("minidistil.kernels.linear_cross_entropy")  # a function has its name

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


def inputs(dtype, T=23, H=12, V=75, seed=0):
    rng = np.random.default_rng(seed)
    f = lambda *shape: rng.standard_normal(shape).astype(dtype)
    labels = rng.integers(0, V, T)
    labels[rng.random(T) < 0.6] = IGNORE_INDEX
    teacher = LinearHead(2 * f(T, H + 4), f(V, H + 4), f(V))
    return (2 * f(T, H), f(V, H), f(V)), labels, teacher


def relative(a, b):
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)


@pytest.mark.parametrize("chunk", [1, 5, 23, 256])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("terms", ["labels", "soft", "both", "none"])
def test_twins_agree(monkeypatch, terms, dtype, chunk):
    monkeypatch.setattr(vocabulary, "CHUNK", chunk)
    given, labels, teacher = inputs(dtype)
    settings = {"label_scale": 0.3, "soft_scale": 1.7, "temperature": 3.0}
    if terms in ("labels", "both"):
        settings["labels"] = labels
    if terms in ("soft", "both"):
        settings["teacher"] = teacher
    ours, theirs = (backend.linear_cross_entropy(*given, **settings) for backend in (kernels, ops))
    assert ours[0] == pytest.approx(theirs[0], rel=TOLERANCE[dtype], abs=0)
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert a.dtype == b.dtype
        assert relative(a, b) <= TOLERANCE[dtype]
    assert bool(ours[0].labels) == (terms in ("labels", "both"))
    assert bool(ours[0].soft) == (terms in ("soft", "both"))


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_it_is_the_losses_on_the_logits(backend):
    (x, weight, bias), labels, teacher = inputs("float64")
    logits = x @ weight.T + bias
    sums, *_ = backend.linear_cross_entropy(x, weight, bias, labels=labels, teacher=teacher, temperature=2.0)
    soft = soft_label_kl(logits, teacher.features @ teacher.weight.T + teacher.bias, temperature=2.0)
    assert sums.labels == pytest.approx(cross_entropy(logits, labels).sum, rel=1e-12)
    assert sums.soft == pytest.approx(soft.sum, rel=1e-12)


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_gradients_of_the_last_layer_are_added(backend):
    given, labels, teacher = inputs("float64")
    fresh = backend.linear_cross_entropy(*given, labels=labels, teacher=teacher)
    totals = np.full_like(fresh[2], 3), np.full_like(fresh[3], 5)
    again = backend.linear_cross_entropy(
        *given, labels=labels, teacher=teacher, dweight=totals[0], dbias=totals[1]
    )
    assert again[2] is totals[0]
    assert again[3] is totals[1]
    np.testing.assert_allclose(totals[0], 3 + fresh[2], rtol=1e-12)
    np.testing.assert_allclose(totals[1], 5 + fresh[3], rtol=1e-12)


def test_a_word_that_the_teacher_excludes_costs_nothing():
    given, _, teacher = inputs("float32")
    teacher.bias[7] = -np.inf
    for backend in (ops, kernels):
        sums, *gradients = backend.linear_cross_entropy(*given, teacher=teacher)
        assert np.isfinite(sums.soft)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_not_swallowed(bad):
    given, labels, teacher = inputs("float32")
    given[0][3, 2] = bad
    with np.errstate(all="ignore"):
        sums, dfeatures, *_ = kernels.linear_cross_entropy(*given, labels=labels, teacher=teacher)
    assert np.isnan(sums.soft)
    assert np.isnan(dfeatures[3]).all()
    assert np.isfinite(np.delete(dfeatures, 3, axis=0)).all()


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_bad_input_is_refused(backend):
    given, labels, teacher = inputs("float64")
    with pytest.raises(InputError, match=r"labels must be integers of shape \[23\]"):
        backend.linear_cross_entropy(*given, labels=labels[:22])
    labels[4] = 75
    with pytest.raises(InputError, match="label 75 at index 4"):
        backend.linear_cross_entropy(*given, labels=labels)
    smaller = LinearHead(teacher.features, teacher.weight[:-1], teacher.bias[:-1])
    with pytest.raises(InputError, match="tokenizer"):
        backend.linear_cross_entropy(*given, teacher=smaller)


def test_no_array_of_all_logits_is_made(monkeypatch):
    """Every matrix product gives at most CHUNK rows of logits."""
    monkeypatch.setattr(vocabulary, "CHUNK", 4)
    rows = []
    product = vocabulary.matmul

    def recording(a, b, **settings):
        out = product(a, b, **settings)
        if out.shape[1] == 75:
            rows.append(len(out))
        return out

    monkeypatch.setattr(vocabulary, "matmul", recording)
    given, labels, teacher = inputs("float32")
    kernels.linear_cross_entropy(*given, labels=labels, teacher=teacher)
    assert rows == [4, 4] * 5 + [3, 3]  # student and teacher by turns


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_the_likeliest_words_alone(monkeypatch, backend):
    """Soft labels of K words: a softmax over these, and nothing of the rest."""
    monkeypatch.setattr(vocabulary, "CHUNK", 7)
    given, labels, teacher = inputs("float64")
    logits = teacher.features @ teacher.weight.T + teacher.bias
    words = np.argsort(-logits, axis=1)[:, :5]
    kept = TopKLogits(words.astype(np.int32), np.take_along_axis(logits, words, 1), 75)
    z = (given[0] @ given[1].T + given[2]) / 2.0
    log_q = np.take_along_axis(z - np.log(np.exp(z).sum(1, keepdims=True)), words, 1)
    p = np.exp(kept.logits / 2.0)
    p /= p.sum(1, keepdims=True)
    expected = 4.0 * (p * (np.log(p) - log_q)).sum()
    sums, *_ = backend.linear_cross_entropy(*given, labels=labels, teacher=kept, temperature=2.0)
    assert sums.soft == pytest.approx(expected, rel=1e-12)

    # All words, in any order, are the teacher itself.
    order = np.argsort(logits, axis=1)
    every = TopKLogits(order, np.take_along_axis(logits, order, 1), 75)
    whole = backend.linear_cross_entropy(*given, labels=labels, teacher=teacher)
    for a, b in zip(backend.linear_cross_entropy(*given, labels=labels, teacher=every), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    with pytest.raises(InputError, match="22 tokens and 75 words"):
        backend.linear_cross_entropy(*given, teacher=TopKLogits(words[1:], kept.logits[1:], 75))


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_what_both_refuse(backend):
    given, labels, teacher = inputs("float32")
    missing = np.where(labels == IGNORE_INDEX, np.nan, labels)
    for wrong in (missing, labels + 0.9, labels > 0, labels[1:]):
        with pytest.raises(InputError, match="labels must be integers of shape"):
            backend.linear_cross_entropy(*given, labels=wrong)
    for temperature in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(UsageError, match="temperature must be positive and finite"):
            backend.linear_cross_entropy(*given, teacher=teacher, temperature=temperature)

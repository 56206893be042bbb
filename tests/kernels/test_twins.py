"""Every kernel against its twin in the textbook, on the same random input."""

import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidistil import kernels, ops, threads
from minidistil.batch import Batch
from minidistil.kernels.engine.native import PLAIN, TARGET
from minidistil.ops.dropout import Mask

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
LONGEST = 160 if COMPILED else 9  # as plain Python the kernels are slow: small shapes there
EXAMPLES = 12 if COMPILED else 3


class Inputs:
    """Random arrays of one dtype for T tokens in sequences of the given lengths."""

    def __init__(self, seed, dtype, lengths):
        self.rng, self.dtype = np.random.default_rng(seed), np.dtype(dtype)
        self.lengths = np.array(lengths, np.int32)
        self.T = int(self.lengths.sum())

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(self.dtype)

    def mask(self, rate=0.3):
        example = np.repeat(self.rng.integers(0, 2**40, len(self.lengths)), self.lengths)
        position = np.concatenate([np.arange(n) for n in self.lengths] or [[]]).astype(np.int32)
        return Mask(rate, (123456789, 2**32 - 5), example, position)

    @property
    def cu(self):
        return np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int32)


def embedding(x, *sizes):
    return [x.normal(n, 20) for n in sizes], [x.rng.integers(0, n, x.T).astype(np.int32) for n in sizes]


def by_distance(x, heads):
    """A bias for one token more than the longest sequence has."""
    return 2 * x.normal(heads, 2 * x.lengths.max(initial=0) + 1)


# For each pair: the arguments of its forward. H = 20 has a tail after any vector width.
CASES = {
    "linear": lambda x: (x.normal(x.T, 20), x.normal(28, 20), x.normal(28)),
    "linear without bias": lambda x: (x.normal(x.T, 20), x.normal(28, 20)),
    "embedding": lambda x: embedding(x, 7, 2, 5),
    "embedding of one table": lambda x: embedding(x, 7),
    "embedding of two tables": lambda x: embedding(x, 7, 5),
    "layernorm": lambda x: (x.normal(x.T, 20), x.normal(20), x.normal(20)),
    "gelu": lambda x: (3 * x.normal(x.T, 20),),
    "gelu_tanh": lambda x: (3 * x.normal(x.T, 20),),
    "relu": lambda x: (x.normal(x.T, 20),),
    "tanh": lambda x: (x.normal(x.T, 20),),
    "softmax": lambda x: (5 * x.normal(x.T, 20),),
    "pool": lambda x: (x.normal(x.T, 20), Batch.from_sequences([np.zeros(n, int) for n in x.lengths])),
    "dropout": lambda x: (x.normal(x.T, 21), x.mask()),
    "attention": lambda x: (x.normal(x.T, 60), x.cu, 5),
    "attention with dropout": lambda x: (x.normal(x.T, 60), x.cu, 5, x.mask()),
    "attention of whole vectors": lambda x: (x.normal(x.T, 96), x.cu, 2, x.mask()),
    "attention with bias": lambda x: (x.normal(x.T, 60), x.cu, 5, None, by_distance(x, 5)),
    "attention with bias and dropout": lambda x: (x.normal(x.T, 60), x.cu, 5, x.mask(), by_distance(x, 5)),
    "attention of whole vectors with bias": lambda x: (x.normal(x.T, 96), x.cu, 2, None, by_distance(x, 2)),
    "relative_bias": lambda x: (x.normal(32, 5), x.lengths.max(initial=1)),
    "linear_activation": lambda x: (x.normal(x.T, 20), x.normal(28, 20), x.normal(28)),
    "linear_activation with tanh": lambda x: (x.normal(x.T, 20), x.normal(28, 20), x.normal(28), "gelu_new"),
    "linear_activation with relu": lambda x: (x.normal(x.T, 20), x.normal(28, 20), x.normal(28), "relu"),
    "feed_forward": lambda x: (
        *(x.normal(x.T, 20), x.normal(28, 20), x.normal(28), x.normal(20, 28), x.normal(20)),
    ),
    "feed_forward with relu": lambda x: (
        *(x.normal(x.T, 20), x.normal(28, 20), x.normal(28), x.normal(20, 28), x.normal(20), "relu"),
    ),
    "residual_layernorm": lambda x: (x.normal(x.T, 20), x.normal(x.T, 20), x.normal(20), x.normal(20)),
    "residual_layernorm with dropout": lambda x: (
        *(x.normal(x.T, 20), x.normal(x.T, 20), x.normal(20), x.normal(20), 1e-12, x.mask()),
    ),
}  # fmt: skip


def results(backend, case, arguments, cotangent_seed=0):
    """Output and every gradient, with a random cotangent."""
    name = case.split(" ")[0]
    out, cache = getattr(backend, f"{name}_forward")(*arguments)
    dout = np.random.default_rng(cotangent_seed).standard_normal(out.shape).astype(out.dtype)
    wanted = [np.zeros_like(bias) for bias in arguments[4:]] if name == "attention" else []
    gradients = getattr(backend, f"{name}_backward")(dout, cache, *wanted)
    return [out, *as_tuple(gradients)]


def as_tuple(gradients):
    return gradients if isinstance(gradients, tuple) else (gradients,)


def assert_close(ours, theirs, tolerance, least=1e-30):
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert np.linalg.norm(a - b) <= tolerance * max(np.linalg.norm(b), least)


def test_same_names():
    assert [name for name in ops.__all__ if not hasattr(kernels, name)] == []


def test_every_pair_has_a_case():
    pairs = {name.removesuffix("_forward") for name in ops.__all__ if name.endswith("_forward")}
    assert pairs == {case.split(" ")[0] for case in CASES}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("case", CASES)
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, LONGEST), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_twins_agree(case, dtype, lengths, seed):
    arguments = CASES[case](Inputs(seed, dtype, lengths))
    least = 1 if "bias" in case else 1e-30  # one token alone has no gradient of its bias, but of rounding
    assert_close(results(kernels, case, arguments), results(ops, case, arguments), TOLERANCE[dtype], least)


def first_token(x, width, heads):
    given = x.normal(x.T, width), x.cu, x.normal(3 * width, width) / np.sqrt(width), x.normal(3 * width)
    return *(g.astype(x.dtype) if g.dtype.kind == "f" else g for g in given), heads


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(("width", "heads"), [(20, 5), (96, 2)])
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, LONGEST), max_size=5),
    seed=st.integers(0, 2**32 - 1),
)
def test_attention_of_first_tokens_is_that_of_all_tokens(width, heads, dtype, biased, lengths, seed):
    inputs = Inputs(seed, dtype, lengths)
    x, cu, weight, bias, _ = given = first_token(inputs, width, heads)
    relative = by_distance(inputs, heads) if biased else None
    qkv = ops.linear_forward(*(a.astype("float64") for a in (x, weight, bias)))[0]
    wanted = ops.attention_forward(qkv, cu, heads, None, relative)[0][cu[:-1]].astype(dtype)
    for backend in (ops, kernels):
        assert_close([backend.cls_attention(*given, relative)], [wanted], TOLERANCE[dtype])


@pytest.mark.skipif(TARGET is PLAIN, reason="the queries are BLAS's, whose bits depend on the number of rows")
def test_attention_of_first_tokens_has_the_same_bits_in_any_batch(thread_count):
    lengths = (3, 8, 1, 70, 5)
    x, cu, weight, bias, heads = first_token(Inputs(4, "float32", lengths), 96, 2)
    packed = kernels.pack_weight(weight)
    for count in (1, 2, 3):
        thread_count(count)
        together = kernels.cls_attention(x, cu, packed, bias, heads)
        for b, (start, stop) in enumerate(pairwise(cu)):
            within = np.array([0, stop - start], np.int32)
            alone = kernels.cls_attention(x[start:stop], within, weight, bias, heads)
            assert (alone[0] == together[b]).all()


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_attention_of_first_tokens_swallows_no_nan(backend, bad):
    given = first_token(Inputs(3, "float32", [4, 6]), 96, 2)
    given[0][5, 2] = bad
    with np.errstate(all="ignore"):
        first, second = backend.cls_attention(*given)
    assert np.isfinite(first).all()
    assert np.isnan(second).all()


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
@pytest.mark.parametrize("name", ["linear_activation", "feed_forward", "residual_layernorm"])
def test_without_a_cache_the_result_has_the_same_bits(name, backend):
    arguments = CASES[name](Inputs(2, "float32", [3, 70]))
    forward = getattr(backend, f"{name}_forward")
    out, cache = forward(*arguments, keep_cache=False)
    assert (out == forward(*arguments)[0]).all()
    assert cache is None


@pytest.mark.parametrize("case", CASES)
def test_no_tokens_at_all(case):
    arguments = CASES[case](Inputs(0, "float64", []))
    assert_close(results(kernels, case, arguments), results(ops, case, arguments), 0)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.startswith(("linear", "feed", "embedding", "layernorm", "residual", "relative"))],
)
def test_parameter_gradients_are_added_to_what_is_given(case):
    arguments = CASES[case](Inputs(1, "float64", [3, 5]))
    name = case.split(" ")[0]
    dout = None
    for backend in (ops, kernels):
        out, cache = getattr(backend, f"{name}_forward")(*arguments)
        dout = np.random.default_rng(0).standard_normal(out.shape) if dout is None else dout
        backward = getattr(backend, f"{name}_backward")
        fresh = [g for g in as_tuple(backward(dout, cache)) if g is not None]
        inputs = {"embedding": 0, "relative_bias": 0, "residual_layernorm": 2}.get(
            name, 1
        )  # gradients that are not parameters'
        given = [np.full_like(g, 7) for g in fresh[inputs:]]
        again = [g for g in as_tuple(backward(dout, cache, *given)) if g is not None]
        for start, total, returned in zip(fresh[inputs:], given, again[inputs:], strict=True):
            assert returned is total
            np.testing.assert_allclose(total, 7 + start, rtol=1e-12)


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_the_gradient_of_a_bias_is_added_where_it_is_wanted(backend):
    arguments = CASES["attention with bias and dropout"](Inputs(1, "float64", [3, 1, 5]))
    out, cache = backend.attention_forward(*arguments)
    dout = np.random.default_rng(0).standard_normal(out.shape)
    fresh, given = np.zeros_like(arguments[4]), np.full_like(arguments[4], 7)
    dqkv, _ = backend.attention_backward(dout, cache, fresh)
    assert backend.attention_backward(dout, cache, given)[1] is given
    np.testing.assert_allclose(given, 7 + fresh, rtol=1e-12)
    np.testing.assert_array_equal(backend.attention_backward(dout, cache), dqkv)
    assert not fresh[:, [0, -1]].any()  # no two tokens are that far apart


@pytest.mark.skipif(
    TARGET is PLAIN, reason="the products are BLAS's, whose bits depend on the number of rows"
)
def test_a_biased_sequence_has_the_same_bits_in_any_batch():
    inputs = Inputs(4, "float32", (3, 8, 1, 70, 33))
    qkv, bias = inputs.normal(inputs.T, 96), by_distance(inputs, 2)
    together, cache = kernels.attention_forward(qkv, inputs.cu, 2, None, bias)
    dqkv = kernels.attention_backward(together, cache)
    for start, stop in pairwise(inputs.cu):
        L, middle = stop - start, bias.shape[1] // 2
        near = np.ascontiguousarray(bias[:, middle - L + 1 : middle + L])
        alone, cache = kernels.attention_forward(qkv[start:stop], np.array([0, L], np.int32), 2, None, near)
        assert (alone == together[start:stop]).all()
        assert (kernels.attention_backward(alone, cache) == dqkv[start:stop]).all()


@pytest.mark.parametrize("backend", [ops, kernels], ids=["numpy", "numba"])
def test_a_bias_of_distances_that_nobody_has_is_not_read(backend):
    qkv, cu, heads, _, bias = CASES["attention with bias"](Inputs(1, "float32", [3, 1, 40]))
    _, cache = backend.attention_forward(qkv, cu, heads, None, bias)
    plain = backend.attention_backward(qkv[:, :20].copy(), cache, np.zeros_like(bias))
    bias[:, [0, -1]] = np.nan
    bias[:, bias.shape[1] // 2 + 3 :] = np.nan  # the third sequence alone meets these
    bias[:, : bias.shape[1] // 2 - 2] = np.nan
    out, cache = backend.attention_forward(qkv, cu, heads, None, bias)
    dqkv, dbias = backend.attention_backward(qkv[:, :20].copy(), cache, np.zeros_like(bias))
    assert np.isfinite(out[:4]).all()
    assert np.isnan(out[4:]).any()
    np.testing.assert_array_equal(dqkv[:4], plain[0][:4])
    assert np.isnan(dbias).any()


@pytest.fixture
def thread_count():
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


# Large enough that work is really shared out.
@pytest.mark.parametrize("case", CASES)
def test_bits_do_not_depend_on_the_number_of_threads(case, thread_count):
    scale = 40 if COMPILED else 1
    arguments = CASES[case](Inputs(2, "float32", [n * scale for n in (1, 13, 2, 7)]))
    seen = set()
    for count in (1, 2, 3, 4, 8):
        thread_count(count)
        seen.add(tuple(None if a is None else a.tobytes() for a in results(kernels, case, arguments)))
    assert len(seen) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("case", [c for c in CASES if "embedding" not in c])
def test_nan_and_infinity_are_not_swallowed(case, bad):
    """Where the textbook's result is not finite, the kernel's is not either."""
    arguments = CASES[case](Inputs(3, "float32", [4, 6]))
    arguments[0][5, 2] = bad
    with np.errstate(all="ignore"):
        for ours, theirs in zip(
            results(kernels, case, arguments), results(ops, case, arguments), strict=True
        ):
            if theirs is not None:
                missed = np.isnan(theirs) & np.isfinite(ours)
                assert not missed.any()

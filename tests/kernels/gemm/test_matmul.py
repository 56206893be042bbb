"""The matrix product: every form and epilogue against float64, its edges, its bits, its other targets."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidistil import threads
from minidistil.kernels.activations import BIAS, GELU, GELU_TANH, NOTHING, RELU
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.native import AVX2, AVX512, LANES, MR, NR, PLAIN, TARGET, VECTORS
from minidistil.kernels.gemm import blas, blocked
from minidistil.kernels.gemm.matmul import PackedWeight, matmul
from minidistil.kernels.gemm.micro import tile
from minidistil.kernels.gemm.pack import pack_contiguous, pack_transposed, transpose_blocks
from minidistil.ops.activations import ACTIVATIONS

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"
FORMS = [(a, b) for a in (False, True) for b in (False, True)]
EPILOGUES = {NOTHING: None, BIAS: None, GELU: "gelu", GELU_TANH: "gelu_new", RELU: "relu"}


def operands(M, N, K, transpose_a, transpose_b, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((K, M) if transpose_a else (M, K)).astype(dtype)
    b = rng.standard_normal((N, K) if transpose_b else (K, N)).astype(dtype)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    return a, b, (wide_a.T if transpose_a else wide_a) @ (wide_b.T if transpose_b else wide_b)


def relative(got, want):
    return np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)


# Sizes around a tile, a block of rows, a panel, two stretches of k, and where rows count as long.
@pytest.mark.parametrize(("transpose_a", "transpose_b"), FORMS)
@settings(max_examples=30 if COMPILED else 3, deadline=None, derandomize=True)
@given(
    M=st.one_of(st.integers(1, 40), st.sampled_from([113, 128, 257])),
    N=st.one_of(st.integers(1, 70), st.sampled_from([129, 192])),
    K=st.one_of(st.integers(1, 40), st.sampled_from([384, 1030, 2050, *([4100] if COMPILED else [])])),
    seed=st.integers(0, 9),
)
def test_every_form(transpose_a, transpose_b, M, N, K, seed):
    a, b, want = operands(M, N, K, transpose_a, transpose_b, seed=seed)
    form = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    size = np.sqrt(M * N * K)  # what |A B| is expected to be; one number may by chance be much smaller
    assert np.linalg.norm(matmul(a, b, **form) - want) < 1e-6 * size
    total = np.full((M, N), 2, np.float32)
    assert matmul(a, b, out=total, accumulate=True, **form) is total
    assert np.linalg.norm(total - want - 2) < 1e-6 * np.hypot(size, 2 * np.sqrt(M * N))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 5, 0), (0, 5, 0), (4, 0, 3)])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), FORMS)
def test_nothing_to_multiply(shape, dtype, transpose_a, transpose_b):
    a, b, want = operands(*shape, transpose_a, transpose_b, dtype=dtype)
    got = matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)
    assert got.shape == want.shape
    assert (got == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("epilogue", EPILOGUES)
@pytest.mark.parametrize("shape", [(1, 3, 5), (30, 70, 20), (70, 33, 40), (70, 33, 1100)])
def test_epilogues(shape, epilogue, dtype):
    a, b, want = operands(*shape, False, True, dtype=dtype)
    bias = np.linspace(-1, 1, shape[1]).astype(dtype)
    want = want if epilogue == NOTHING else want + bias
    tolerance = 1e-6 if dtype == np.float32 else 1e-13
    activated = ACTIVATIONS[EPILOGUES[epilogue]][0](want)[0] if EPILOGUES[epilogue] else want
    assert relative(matmul(a, b, transpose_b=True, epilogue=epilogue, bias=bias), activated) < tolerance
    if epilogue != NOTHING:
        pre_activation = np.full_like(want, np.nan, dtype)
        got = matmul(a, b, transpose_b=True, epilogue=epilogue, bias=bias, pre_activation=pre_activation)
        assert relative(got, activated) < tolerance
        assert relative(pre_activation, want) < tolerance


def guarded(array):
    """The same array between two stretches of NaN, and those stretches."""
    room = 4096
    everything = np.full(array.size + 2 * room, np.nan, array.dtype)
    inside = everything[room : room + array.size].reshape(array.shape)
    inside[...] = array
    return inside, (everything[:room], everything[-room:])


@pytest.mark.parametrize("shape", [(1, 1, 1), (13, 31, 15), (15, 33, 17), (57, 30, 40), (29, 65, 1025)])
@pytest.mark.parametrize(("transpose_a", "transpose_b"), FORMS)
def test_nothing_outside_is_read_or_written(shape, transpose_a, transpose_b):
    """NaN beside an operand would show in the result, and a stray write beside the result in the NaN."""
    a, b, want = operands(*shape, transpose_a, transpose_b)
    (a, _), (b, _), (out, margins) = guarded(a), guarded(b), guarded(np.zeros(shape[:2], np.float32))
    matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b, out=out)
    assert relative(out, want) < 1e-6
    assert all(np.isnan(margin).all() for margin in margins)


@pytest.fixture
def thread_count():
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(300, 130, 96), (130, 300, 96), (16, 400, 1030), (257, 129, 257), (40, 130, 4200)]
)
def test_bits_do_not_depend_on_the_number_of_threads(shape, dtype, thread_count):
    a, b, _ = operands(*shape, False, True, dtype=dtype)
    seen = set()
    for count in (1, 2, 3, 4, 8, 2):
        thread_count(count)
        seen.add(matmul(a, b, transpose_b=True).tobytes())
    assert len(seen) == 1


@pytest.mark.skipif(TARGET is PLAIN, reason="BLAS may round by the shape of the whole")
def test_a_row_has_the_same_bits_alone_and_among_others():
    for K in (1100, 4200) if COMPILED else (1100,):
        a, b, _ = operands(200, 96, K, False, True)
        whole = matmul(a, b, transpose_b=True)
        for rows in (slice(0, 1), slice(17, 19), slice(100, 150)):
            assert (matmul(np.ascontiguousarray(a[rows]), b, transpose_b=True) == whole[rows]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_go_through(bad):
    a, b, _ = operands(20, 40, 30, False, True)
    a[3, 7] = bad
    got = matmul(a, b, transpose_b=True)
    assert not np.isfinite(got[3]).any()
    assert np.isfinite(np.delete(got, 3, axis=0)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_packed_weight_is_the_weight(dtype):
    a, b, _ = operands(20, 50, 30, False, True, dtype=dtype)
    packed = PackedWeight(b)
    assert (matmul(a, packed, transpose_b=True) == matmul(a, b, transpose_b=True)).all()
    dout, *_ = operands(20, 30, 50, False, True, dtype=dtype)
    for other in (packed, PackedWeight(b, transposed=False)):  # the first is packed for the other side
        assert (matmul(dout, other) == matmul(dout, b)).all()
    assert (np.asarray(packed) == b).all()
    assert (len(packed), packed.shape) == (50, (50, 30))


def test_float32_takes_the_micro_kernel_and_float64_does_not(monkeypatch):
    taken = []
    for module in (blas, blocked):
        original = module.multiply
        monkeypatch.setattr(
            module, "multiply", lambda *args, m=module, f=original: (taken.append(m), f(*args))[1]
        )
    for dtype in (np.float32, np.float64):
        a, b, _ = operands(3, 4, 5, False, False, dtype=dtype)
        matmul(a, b)
    assert taken == [blas if TARGET is PLAIN else blocked, blas]


@strict
def one_tile(rows, vectors, a, b, c, k, accumulate):
    tile(rows, vectors, a, 2, LANES, b, 3, NR, c, 1, c.shape[0] // 20, k, accumulate)


@strict
def one_tile_with_bias(rows, vectors, a, b, c, k, accumulate, bias):
    tile(rows, vectors, a, 2, LANES, b, 3, NR, c, 1, c.shape[0] // 20, k, accumulate, bias)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_tile(dtype):
    rng, step = np.random.default_rng(0), NR + 5
    for rows in range(1, MR + 1):
        for vectors in range(1, VECTORS + 1):
            for k in (1, 2, 7):
                a = rng.standard_normal(2 + k * LANES).astype(dtype)
                b = rng.standard_normal(3 + k * NR).astype(dtype)
                want = a[2:].reshape(k, LANES)[:, :rows].T @ b[3:].reshape(k, NR)[:, : vectors * LANES]
                bias = rng.standard_normal(vectors * LANES).astype(dtype)
                for accumulate, added in itertools.product((False, True), (0, bias)):
                    c = np.full(20 * step, 7, dtype)
                    if added is bias:
                        one_tile_with_bias(rows, vectors, a, b, c, k, accumulate, bias)
                    else:
                        one_tile(rows, vectors, a, b, c, k, accumulate)
                    inside = np.lib.stride_tricks.as_strided(
                        c[1:], (rows, vectors * LANES), (step * c.itemsize, c.itemsize)
                    )
                    np.testing.assert_allclose(inside, want + 7 * accumulate + added, rtol=1e-5, atol=1e-5)
                    inside[...] = 7
                    assert (c == 7).all()


@strict
def turned(source, step, rows, target, width, blocks):
    transpose_blocks(source, 3, step, rows, target, 5, width, blocks)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_are_turned(dtype):
    source = np.random.default_rng(0).standard_normal((LANES, 60)).astype(dtype)
    for rows in (1, 5, LANES):
        for blocks in (1, 2, 3):
            lines = blocks * LANES
            target = np.zeros(5 + (lines + 1) * 21, dtype)
            turned(source.reshape(-1), 60, rows, target, 21, blocks)
            got = target[5:].reshape(lines + 1, 21)
            for i in range(LANES):
                assert (got[:lines, i] == source[min(i, rows - 1), 3 : 3 + lines]).all()
            got[:lines, :LANES] = 0
            assert not target.any()


@pytest.mark.parametrize("depth", [1, 15, 16, 37])
def test_packing(depth):
    rng = np.random.default_rng(0)
    source = rng.standard_normal((20, 50)).astype(np.float32)
    packed = np.zeros(depth * NR + LANES, np.float32)
    pack_transposed(source.reshape(-1), 2 * 50 + 4, 50, 5, depth, packed, 0, NR)
    got = packed[: depth * NR].reshape(depth, NR)[:, :5]
    assert (got == source[2:7, 4 : 4 + depth].T).all()
    packed[:] = 0
    last = min(depth, 20)
    for column, columns in (
        (3, 5),
        (18, NR),
        (45, 5),
    ):  # the last would leave the row as whole registers
        packed[:] = 0
        pack_contiguous(source.reshape(-1), column, columns, 50, 0, last, packed, 1, NR)
        got = packed[1 : 1 + last * NR].reshape(last, NR)
        assert (got[:, :columns] == source[:last, column : column + columns]).all()


CHECK = """
import hashlib
import numpy as np
from minidistil import kernels, ops
from minidistil.kernels.engine import native
from minidistil.kernels.gemm.matmul import matmul
from minidistil.kernels.activations import BIAS
assert native.TARGET is native.{target}, native.TARGET
rng = np.random.default_rng(0)
f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
a, b, bias = f(37, 1030), f(75, 1030), 30 * f(75)
bits = hashlib.sha256()
for given, added in (({{}}, 0), ({{"epilogue": BIAS, "bias": bias}}, bias)):
    want = a @ b.T + added
    assert np.linalg.norm(matmul(a, b, transpose_b=True, **given) - want) < 1e-5 * np.linalg.norm(want)
qkv, dout, cu = f(45, 3 * 40), f(45, 40), np.array([0, 1, 8, 45], np.int32)
for name in ("forward", "backward"):
    results = []
    for backend in (ops, kernels):
        out, cache = backend.attention_forward(qkv, cu, 2)
        results.append(out if name == "forward" else backend.attention_backward(dout, cache))
    assert np.linalg.norm(results[0] - results[1]) < 1e-5 * np.linalg.norm(results[0]), name
    bits.update(results[1])
x, dx, gain = f(9, 100), f(9, 100), f(100)
out, cache = kernels.residual_layernorm_forward(x, dx, gain, gain)
for array in (out, *kernels.residual_layernorm_backward(dx, cache)):
    bits.update(array)
print("agreed", bits.hexdigest())
"""


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.parametrize(
    ("target", "features"), [("AVX2", "+avx2,+fma,+avx,+sse4.2,+sse4.1,+ssse3,+sse3"), ("PLAIN", "")]
)
def test_other_processors(target, features, tmp_path):
    """Products of a lesser processor, with the same bits from the cache as compiled a moment ago.

    (A machine without AVX2 can only run the plain one.)
    """
    if target == "AVX2" and TARGET not in (AVX2, AVX512):
        pytest.skip("this processor has no AVX2")
    environment = {
        **os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }  # fmt: skip
    command = [sys.executable, "-c", CHECK.format(target=target)]
    cold, warm = (subprocess.run(command, env=environment, capture_output=True, text=True) for _ in range(2))
    assert cold.stdout.startswith("agreed"), cold.stderr
    assert warm.stdout == cold.stdout

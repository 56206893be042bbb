"""Functions written in LLVM's language: called in place of loops, by the dtype of the arrays."""

import os
import subprocess
import sys

import pytest

from minidistil.kernels.engine.native import PLAIN, TARGET

# A type that no kernel has: a function that adds 1 in loops, and 2 where it is written for float64.
ANOTHER_TYPE = """
import numpy as np
from llvmlite import ir
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.native import I64, native
from minidistil.kernels.engine.pool import awake_pool

def add_to_one(x, x_at, step, twice=None):
    x[x_at + step] += 1

@native(plain=add_to_one, numbers={"float64": ir.DoubleType()})
def _add(function, number):
    builder = ir.IRBuilder(function.append_basic_block())
    address, step, twice = function.args
    place = builder.gep(builder.inttoptr(address, number.as_pointer()), [step])
    more = builder.select(builder.icmp_signed("==", twice, I64(0)), number(2.0), number(4.0))
    builder.store(builder.fadd(builder.load(place), more), place)
    builder.ret_void()

@strict
def call(x, at, step):
    add_to_one(x, at, step)

@strict
def call_with(x, at, step, twice):
    add_to_one(x, at, step, twice)

awake_pool()
for dtype in ("float64", "float32", "int64"):
    x = np.zeros(9, dtype)
    call(x, 3, 2)
    print(dtype, x.astype(int).tolist())
x = np.zeros(4)
call_with(x, 0, 3, True)
print(x.astype(int).tolist())
call_with(x, 0, 0, x)
print(x.astype(int).tolist())
"""


@pytest.mark.skipif(TARGET is PLAIN, reason="nothing is written for this processor")
def test_a_further_type_of_numbers_is_an_entry(tmp_path):
    (tmp_path / "further.py").write_text(ANOTHER_TYPE)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "further.py")], capture_output=True, text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "float64 [0, 0, 0, 0, 0, 2, 0, 0, 0]",
        "float32 [0, 0, 0, 0, 0, 1, 0, 0, 0]",
        "int64 [0, 0, 0, 0, 0, 1, 0, 0, 0]",
        "[0, 0, 0, 4]",
        "[4, 0, 0, 4]",
    ], done.stderr

"""Matrix products by NumPy's BLAS on our own threads: panels of the result, each one single-threaded call.

The number of panels depends on the shape alone, so every bit of the result does too: not on the number of
threads. Used in float64, and where there is no micro-kernel for the processor.
"""

from __future__ import annotations

import numpy as np

from minidistil.arrays import Array
from minidistil.kernels.activations import NOTHING, activate, add_bias
from minidistil.kernels.engine.pool import parallel_for
from minidistil.kernels.engine.workspace import empty_like
from minidistil.threads import single_threaded_blas

PANELS = 4
SMALL = 1 << 21  # multiply-adds below which waking a second thread costs more than it gives


def multiply(
    a: Array,
    transposed: bool,
    b: Array,
    b_transposed: bool,
    c: Array,
    accumulate: bool,
    epilogue: int,
    bias: Array,
    pre_activation: Array,
) -> None:
    """C (+)= A B, then bias and activation on each panel; see `blocked.multiply`."""
    left, right = (a.T if transposed else a), (b.T if b_transposed else b)
    (M, K), N = left.shape, right.shape[1]
    result = empty_like(c) if accumulate else c
    panels = 1 if M * N * K < SMALL else PANELS

    def panel(i: int) -> None:
        rows = columns = (i, i + 1, panels)
        if M >= N:  # cut the longer side: each panel packs the other operand again
            columns = (0, 1, 1)
        else:
            rows = (0, 1, 1)
        r0, r1 = (M * rows[0] // rows[2], M * rows[1] // rows[2])
        c0, c1 = (N * columns[0] // columns[2], N * columns[1] // columns[2])
        np.matmul(left[r0:r1], right[:, c0:c1], out=result[r0:r1, c0:c1])
        if accumulate:
            c[r0:r1, c0:c1] += result[r0:r1, c0:c1]
        if epilogue != NOTHING:
            add_bias(c, bias, r0, r1, c0, c1)
        activate(epilogue, c, pre_activation, r0, r1, c0, c1)

    with single_threaded_blas():
        parallel_for(panel, panels)

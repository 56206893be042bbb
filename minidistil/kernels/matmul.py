"""Matrix products on our own threads: panels of the result, each one single-threaded BLAS call.

The number of panels depends on the shape alone, so every bit of the result does too: not on the
number of threads. This file is the seam for a matrix product of our own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.threads import parallel_for, single_threaded_blas

Array = npt.NDArray[np.floating[Any]]
Finish = Callable[[int, int, int, int], Any]

PANELS = 4
SMALL = 1 << 21  # multiply-adds below which waking a second thread costs more than it gives


def matmul(a: Array, b: Array, out: Array | None = None, finish: Finish | None = None) -> Array:
    """a @ b, then `finish` on each panel while it is still in cache.

    Parameters
    ----------
    a : [M, K]
    b : [K, N]
        Transposed views are fine: BLAS reads either order.
    out : [M, N], optional
    finish : callable, optional
        Called with (row start, row stop, column start, column stop) of each panel of `out`.

    Returns
    -------
    out : [M, N]
    """
    (M, K), N = a.shape, b.shape[1]
    out = np.empty((M, N), np.result_type(a, b)) if out is None else out
    panels = 1 if M * N * K < SMALL else PANELS

    def panel(i: int) -> None:
        rows = columns = (i, i + 1, panels)
        if M >= N:  # cut the longer side: each panel packs the other operand again
            columns = (0, 1, 1)
        else:
            rows = (0, 1, 1)
        r0, r1 = (M * rows[0] // rows[2], M * rows[1] // rows[2])
        c0, c1 = (N * columns[0] // columns[2], N * columns[1] // columns[2])
        np.matmul(a[r0:r1], b[:, c0:c1], out=out[r0:r1, c0:c1])
        if finish is not None:
            finish(r0, r1, c0, c1)

    with single_threaded_blas():
        parallel_for(panel, panels)
    return out

"""How kernels are compiled: without the GIL, cached, and with fast-math flags that lose no NaN.

- `nogil`: kernels run side by side on `minidistil.threads`.
- `error_model="numpy"`: dividing by zero gives infinity. Python's ZeroDivisionError would put a branch
  into every loop that divides, and a loop with a branch does not run in vector lanes.
- fast-math flags one by one. Never the whole of it: that may assume that no NaN and no infinity exist.
"""

from __future__ import annotations

from typing import Any

import numba

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

# Every result rounds like the textbook's, operation by operation.
exact = numba.njit(cache=True, **OPTIONS)

# A product and a sum may become one fused multiply-add.
pointwise = numba.njit(cache=True, fastmath={"contract"}, **OPTIONS)

# Sums along a row may also be taken in another order, in vector lanes: always the same one.
summing = numba.njit(cache=True, fastmath={"contract", "reassoc", "nsz"}, **OPTIONS)

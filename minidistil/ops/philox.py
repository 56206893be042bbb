"""Random numbers from counters: Philox 4x32-10 (Salmon et al. 2011, "Parallel Random Numbers:
As Easy as 1, 2, 3", SC11).

A counter-based generator is a hash: `philox(counter, key)` gives four random 32-bit words and keeps
no state. Whoever knows (seed, step, example, layer, site, element) knows the random number, so a mask
need not be stored, and does not depend on batch shape, thread count, or on where a run was resumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

UInt32 = npt.NDArray[np.uint32]

# Multipliers and key increments of Philox4x32 (Salmon et al. 2011, table 2 and section 3.3; the
# increments are the golden ratio and sqrt(3) - 1 as fractions of 2^32).
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
LOW = np.uint64(0xFFFFFFFF)


def philox(c0: Any, c1: Any, c2: Any, c3: Any, key: tuple[int, int]) -> tuple[UInt32, UInt32, UInt32, UInt32]:
    """Four random words for each counter.

    Parameters
    ----------
    c0, c1, c2, c3 : integers or arrays that broadcast
        The counter, 32 bits each.
    key : two integers of 32 bits

    Returns
    -------
    four uint32 arrays of the broadcast shape, uniform on [0, 2^32)
    """
    x0, x1, x2, x3 = np.broadcast_arrays(*(np.asarray(c).astype(np.uint64) & LOW for c in (c0, c1, c2, c3)))
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = M0 * x0, M1 * x2  # 32 x 32 -> 64 bits
        high0, high1 = p0 >> np.uint64(32), p1 >> np.uint64(32)
        x0, x1, x2, x3 = high1 ^ x1 ^ np.uint64(k0), p1 & LOW, high0 ^ x3 ^ np.uint64(k1), p0 & LOW
        k0, k1 = (k0 + W0) & 0xFFFFFFFF, (k1 + W1) & 0xFFFFFFFF
    return x0.astype(np.uint32), x1.astype(np.uint32), x2.astype(np.uint32), x3.astype(np.uint32)


def derive_key(seed: int, *path: int) -> tuple[int, int]:
    """A key for one purpose: hash (seed, path) where path is, say, (step, layer, site).

    Each path element enters as 64 bits of the counter, chained through the key, so different paths
    give independent streams.
    """
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    for depth, element in enumerate(path):
        words = philox(element & 0xFFFFFFFF, (element >> 32) & 0xFFFFFFFF, depth, len(path), key)
        key = (int(words[0]), int(words[1]))
    return key


def random_order(n: int, seed: int, *path: int) -> npt.NDArray[np.int64]:
    """A permutation of range(n), the same on every machine and NumPy version."""
    a, b, _, _ = philox(np.arange(n), 0, 0, 0, derive_key(seed, *path))
    return np.argsort(a.astype(np.uint64) << np.uint64(32) | b, kind="stable")


def normal(shape: tuple[int, ...], seed: int, *path: int) -> npt.NDArray[np.float32]:
    """Standard normal numbers for initialising weights, from NumPy's Philox under our key."""
    low, high = derive_key(seed, *path)
    return np.random.Generator(np.random.Philox(key=low | high << 32)).standard_normal(shape, np.float32)

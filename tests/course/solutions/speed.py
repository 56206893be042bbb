"""Right answers to lesson 6."""

import numba
import numpy as np

intensity = 2 * 16 * 768 * 3072 / (4 * (16 * 768 + 768 * 3072 + 16 * 3072))


def roofline(operations, size, peak, bandwidth):
    return 1000 * max(operations / peak, size / bandwidth)


tile = "ac"


@numba.njit
def blocked_matmul(a, b, block):
    (M, K), N = a.shape, b.shape[1]
    c = np.zeros((M, N))
    for i0 in range(0, M, block):
        for k0 in range(0, K, block):
            for j0 in range(0, N, block):
                for i in range(i0, min(i0 + block, M)):
                    for k in range(k0, min(k0 + block, K)):
                        for j in range(j0, min(j0 + block, N)):
                            c[i, j] += a[i, k] * b[k, j]
    return c


def pack_panels(a, height):
    panels = np.zeros((-(-len(a) // height), a.shape[1], height))
    for i, row in enumerate(a):
        panels[i // height, :, i % height] = row
    return panels


def panel_matmul(panels_a, panels_b, rows, columns):
    (n_a, _, height), (n_b, _, width) = panels_a.shape, panels_b.shape
    c = np.zeros((n_a * height, n_b * width))
    for i in range(n_a):
        for j in range(n_b):
            tile = np.zeros((height, width))
            for a, b in zip(panels_a[i], panels_b[j], strict=True):
                tile += np.outer(a, b)
            c[i * height : (i + 1) * height, j * width : (j + 1) * width] = tile
    return c[:rows, :columns]


def running_softmax(scores, block):
    largest, total = -np.inf, 0.0
    for start in range(0, len(scores), block):
        part = scores[start : start + block]
        new = max(largest, part.max())
        total = total * np.exp(largest - new) + np.exp(part - new).sum()
        largest = new
    return largest, total


padding_share = 1 - 154 / 512
same_bits = "da"

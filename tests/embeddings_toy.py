"""Vectors and sentences for the tests of embeddings."""

import json

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tiny import BAD, GOOD, OTHER

from minidistil.embeddings import EmbeddingSettings
from minidistil.ops.philox import random_order

modest = settings(derandomize=True, deadline=None, max_examples=60)
TEXTS = ["the film is warm", "a dull plot", "the warm film", "a dull and tired plot", "the film is warm"]

whole = st.integers(-2, 2)  # coordinates of which many vectors are alike, opposite, or zero


def vectors(rows, width=3):
    return hnp.arrays(np.float32, st.tuples(rows, st.just(width)), elements=whole.map(float))


def random_vectors(n, width=8, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


def cosine(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.sqrt(a @ a) * np.sqrt(b @ b)
    return np.float32(round((a @ b / lengths if lengths else 0) * 2**24) / 2**24)


def sentences(n):
    words = (*GOOD, *BAD, *OTHER[:5], "warmly")
    return [" ".join(words[j] for j in random_order(14, 9, i)[: 1 + i % 9]) for i in range(n)]


class ToyEncoder:
    """An encoder whose texts are their vectors: "3 1" is [3, 1]."""

    width = 2

    def __init__(self, similarity="cosine"):
        self.settings = EmbeddingSettings(similarity=similarity)

    def encode(self, texts, *, quiet=True):
        return np.array([[float(x) for x in text.split()] for text in texts], np.float32).reshape(-1, 2)


def write(place, **files):
    """JSON files by their names without ".json"; "/" is written "__"."""
    for name, value in files.items():
        path = place / (name.replace("__", "/") + ".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))

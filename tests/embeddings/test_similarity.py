"""Similarities by hand."""

import numpy as np
import pytest

from minidistil.embeddings import normalize_embeddings
from minidistil.embeddings.similarity import pairwise_similarities, prepare, similarities
from minidistil.errors import UsageError


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [("cosine", 24 / 25), ("dot", 24), ("euclidean", -np.sqrt(2)), ("manhattan", -2)],
)
def test_by_hand(similarity, expected):
    """(3, 4) and (4, 3), both of length 5: the product is 24, the difference (1, -1)."""
    a, b = np.array([[3.0, 4.0]]), np.array([[4.0, 3.0]])
    assert pairwise_similarities(a, b, similarity) == pytest.approx([expected], rel=1e-12)
    found = similarities(prepare(a, similarity), prepare(b, similarity), similarity)
    assert found == pytest.approx(np.array([[expected]]), abs=1e-6)
    assert (found == found.astype(np.float32)).all()


def test_normalized_rows():
    np.testing.assert_allclose(normalize_embeddings(np.array([[3.0, 4.0], [0, 0]])), [[0.6, 0.8], [0, 0]])
    with pytest.raises(UsageError, match="similarity is 'sine': expected one of cosine, dot, eucl"):
        prepare(np.ones((1, 2)), "sine")

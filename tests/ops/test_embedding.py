"""The sum of embeddings by hand, and a word that occurs twice."""

import numpy as np
from numpy.testing import assert_allclose

WORD = np.array([[1.0, 0], [2, 0], [3, 0]])
POSITION = np.array([[0.0, 10], [0, 20], [0, 30]])
TYPE = np.array([[100.0, 0], [0, 100]])
IDS, PLACES, TYPES = np.array([2, 0, 2]), np.array([0, 1, 2]), np.array([0, 0, 1])
DOUT = np.array([[1.0, 2], [3, 4], [5, 6]])


def test_by_hand(backend):
    """Token 0 is word 2 at place 0 of type 0: (3, 0) + (0, 10) + (100, 0) = (103, 10).

    Backward, each token hands its gradient to the three rows that it is the sum of. Word 2 occurs at places 0
    and 2, so its row gets (1, 2) + (5, 6) = (6, 8); word 1 does not occur and gets nothing. Tokens 0 and 1
    are of type 0: (1, 2) + (3, 4) = (4, 6).
    """
    out, cache = backend.embedding_forward([WORD, TYPE, POSITION], [IDS, TYPES, PLACES])
    assert_allclose(out, [[103, 10], [101, 20], [3, 130]])
    dword, dtype, dposition = backend.embedding_backward(DOUT, cache)
    assert_allclose(dword, [[3, 4], [0, 0], [6, 8]])
    assert_allclose(dposition, DOUT)
    assert_allclose(dtype, [[4, 6], [5, 6]])


def test_two_tables(backend):
    """As in DistilBERT, which has no token types."""
    out, cache = backend.embedding_forward([WORD, POSITION], [IDS, PLACES])
    assert_allclose(out, [[3, 10], [1, 20], [3, 30]])
    dword, dposition = backend.embedding_backward(DOUT, cache)
    assert_allclose(dword, [[3, 4], [0, 0], [6, 8]])
    assert_allclose(dposition, DOUT)


def test_gradients_are_added_to_those_given(backend):
    """As where the word table is also the decoder of a masked-LM head, and has a gradient from there."""
    given = np.ones((3, 2)), np.zeros((2, 2)), np.zeros((3, 2))
    _, cache = backend.embedding_forward([WORD, TYPE, POSITION], [IDS, TYPES, PLACES])
    backend.embedding_backward(DOUT, cache, *given)
    assert_allclose(given[0], [[4, 5], [1, 1], [7, 9]])

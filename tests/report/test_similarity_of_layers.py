"""Similarity of layers: linear CKA by its other definition, and equal layers."""

import numpy as np
import pytest
from tiny import CONFIG

from minidistil.distill import init_student
from minidistil.errors import InputError
from minidistil.model import BertForMaskedLM
from minidistil.report.similarity import layer_similarity, linear_cka, mean_cosine


def test_cka_is_what_its_definition_says():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 4))
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    assert linear_cka(x, 3 * x @ turn + 5) == pytest.approx(1)
    k, q = (a @ a.T for a in (x - x.mean(0), y - y.mean(0)))  # by Gram matrices, as the paper begins
    assert linear_cka(x, y) == pytest.approx((k * q).sum() / np.sqrt((k * k).sum() * (q * q).sum()))
    assert linear_cka(x, np.ones((50, 3))) == 0
    assert mean_cosine(x, -2 * x) == pytest.approx(-1)
    with pytest.raises(InputError, match="as many rows"):
        linear_cka(x, y[:3])


def test_equal_layers():
    teacher = BertForMaskedLM(CONFIG, seed=3)
    student = init_student(teacher, "first:2")
    found = layer_similarity(student, teacher, [student.pack([[2, 5, 6, 7, 3], [2, 8, 9, 3, 4]])])
    assert np.shape(found["cka"]) == np.shape(found["cosine"]) == (3, 7)
    np.testing.assert_allclose(np.diag(found["cka"]), 1, rtol=1e-6)  # the same layers
    np.testing.assert_allclose(np.diag(found["cosine"]), 1, rtol=1e-6)
    assert found["cka"][2][6] < 0.99

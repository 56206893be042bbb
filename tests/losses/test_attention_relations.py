"""Self-attention relations: by hand, and one by one."""

from math import log

import numpy as np
import pytest

from minidistil.errors import UsageError
from minidistil.losses import self_attention_relations

rng = np.random.default_rng(0)
CU = np.array([0, 1, 3, 8])
STUDENT, TEACHER = rng.normal(size=(8, 12)), rng.normal(size=(8, 24))  # widths 4 and 8


def test_a_relation_by_hand():
    """Values (1, 0): scores (1, 0), (0, 0), probabilities (e, 1) / (1 + e) and halves. The teacher's values
    are zero: halves. dS = (p - 1/2, 1/2 - p), (0, 0). v_0 is on both sides: 2 (p - 1/2); v_1: 1/2 - p."""
    student, teacher = np.zeros((2, 3)), np.zeros((2, 3))
    student[0, 2] = 1
    p = np.e / (1 + np.e)
    loss = self_attention_relations(student, teacher, [0, 2], relation_heads=1, relations=("v",))
    assert loss.sum == pytest.approx(-log(2) - (log(p) + log(1 - p)) / 2, rel=1e-14)
    np.testing.assert_allclose(loss.grad, [[0, 0, 2 * p - 1], [0, 0, 0.5 - p]], atol=1e-15)


def test_relations_add_up():
    together = self_attention_relations(STUDENT, TEACHER, CU, relation_heads=2)
    one_by_one = [
        self_attention_relations(STUDENT, TEACHER, CU, relation_heads=2, relations=(name,)) for name in "qkv"
    ]
    assert together.sum == pytest.approx(sum(one.sum for one in one_by_one), rel=1e-13)
    assert together.count == one_by_one[0].count == 2 * 8
    np.testing.assert_allclose(together.grad, sum(one.grad for one in one_by_one), rtol=1e-12)


@pytest.mark.parametrize("relations", [(), ("q", "q"), ("x",), "qkvq", ("qk",), ("",)])
def test_relations_that_cannot_be(relations):
    with pytest.raises(UsageError, match="relations must be some of 'q', 'k', 'v', each at most once"):
        self_attention_relations(STUDENT, TEACHER, CU, relation_heads=2, relations=relations)

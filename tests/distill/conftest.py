"""A teacher and a student that differs a little from it."""

import numpy as np
import pytest
from tiny import RANDOM

from minidistil.distill import init_student
from minidistil.model import BertForSequenceClassification


@pytest.fixture
def teacher():
    return BertForSequenceClassification(RANDOM, dtype="float64", backend="numpy", seed=1)


@pytest.fixture
def student(teacher):
    student = init_student(teacher, [0, 2])
    student.params.flat[:] += 0.05 * np.random.default_rng(0).standard_normal(student.params.flat.shape)
    return student

"""Students and teachers with a relative bias: maps of attention, a teacher on disk, layers, width."""

import numpy as np
import pytest
from biased_toy import BiasedModel, biased, table_of
from tiny import random_dataset

from minidistil.distill import Distillation, init_student
from minidistil.distill.prune import prune_width
from minidistil.distill.teacher_cache import TeacherCache
from minidistil.losses import attention_probabilities_kl, attention_scores_mse
from minidistil.model import RobertaModel
from minidistil.ops.dropout import Dropout

TABLE = "encoder.relative_attention_bias.weight"
KINDS = {"scores": attention_scores_mse, "probabilities": attention_probabilities_kl}


@pytest.fixture(scope="module")
def data():
    return random_dataset(3, words=40, longest=11)


@pytest.fixture
def pair():
    """A teacher, and a student with some of its layers that has moved a little."""
    teacher = biased()
    student = init_student(teacher, [0, 2])
    student.params.flat[:] += 0.1 * np.random.default_rng(0).standard_normal(student.params.flat.shape)
    return teacher, student


def step(objective, student, batch, dropout=None):
    grads = student.params.like()
    sums = objective(student, batch, objective.counts(batch), dropout, grads)
    return sums["attention"] / objective.counts(batch)["attention"], grads


def objective_of(pair, kind):
    teacher, student = pair
    return Distillation(student, {"attention": {"weight": 1.0, "kind": kind}}, teacher=teacher)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_compared_with_their_bias(kind, pair, data):
    """Of layers 1 and 2 of the student with 2 and 3 of the teacher: the mean over heads and tokens."""
    student, batch = pair[1], data.batch(np.arange(3))
    ours, theirs = (model.forward(batch, attentions=True, taps="*.scores")[0] for model in pair[::-1])
    expected = 0.0
    for i, j in ((0, 1), (1, 2)):
        for b in range(3):
            s, t = (
                ours["taps"][f"layer.{i}.attention.scores"][b],
                theirs["taps"][f"layer.{j}.attention.scores"][b],
            )
            p, r = ours["attentions"][i][b], theirs["attentions"][j][b]
            rows = ((s - t) ** 2).mean(-1) if kind == "scores" else (r * np.log(r / p)).sum(-1)
            expected += rows.mean(0).sum()
    value, _ = step(objective_of(pair, kind), student, batch)
    assert value == pytest.approx(expected / batch.num_tokens, rel=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind, pair, data):
    """Along a random direction of all parameters, and along one of the table alone."""
    _, student = pair
    objective, batch, dropout = objective_of(pair, kind), data.batch(np.arange(3)), Dropout(3, 5)
    _, grads = step(objective, student, batch, dropout)
    rng, size = np.random.default_rng(5), 1e-5
    for moved, grad in ((student.params.flat, grads.flat), (table_of(student), grads[TABLE])):
        direction, original, values = rng.standard_normal(moved.shape), moved.copy(), []
        for sign in (1, -1):
            moved[...] = original + sign * size * direction
            values.append(step(objective, student, batch, dropout)[0])
        moved[...] = original
        slope = (values[0] - values[1]) / (2 * size)
        assert abs(slope) > 1e-3
        assert (grad * direction).sum() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_on_disk_has_its_bias(kind, pair, data, tmp_path):
    teacher, student = pair
    objective, batch = objective_of(pair, kind), data.batch(np.array([2, 0]))
    expected, grads = step(objective, student, batch)
    objective.teacher_cache = TeacherCache(teacher, data, tmp_path, objective.teacher_outputs(), quiet=True)
    value, again = step(objective, student, batch)
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(again.flat, grads.flat, rtol=1e-9, atol=1e-13)


def test_a_student_begins_with_the_teachers_table():
    teacher = biased()
    student = init_student(teacher, [2, 0])
    np.testing.assert_array_equal(table_of(student), table_of(teacher))
    assert init_student(teacher, [0], RobertaModel).encoder.relative_bias is None


def test_a_narrow_student_keeps_the_same_heads_in_all_layers(data):
    """A column of the table is a head's, whatever the layer. Those of the highest sum stay."""
    teacher = biased(hidden_size=12, num_attention_heads=4)
    scores = np.array([[0.0, 9, 5, 1], [9, 2, 5, 0], [9, 3, 5, 4]])  # sums: 18, 14, 15, 5
    student = prune_width(teacher, heads=2, width=6, head_importance=scores)
    np.testing.assert_array_equal(table_of(student), table_of(teacher)[:, [0, 2]])
    for i in range(3):
        name = f"encoder.layer.{i}.attention.self.query.bias"
        kept = teacher.params[name].reshape(4, 3)[[0, 2]].ravel()
        np.testing.assert_array_equal(student.params[name], kept)
    batch = data.batch(np.arange(3))
    assert np.isfinite(student.forward(batch)[0]["last_hidden_state"]).all()
    whole = prune_width(teacher, head_importance=scores)
    for name, value in whole.params.items():
        np.testing.assert_allclose(value, teacher.params[name], rtol=1e-12)
    assert isinstance(student, BiasedModel)

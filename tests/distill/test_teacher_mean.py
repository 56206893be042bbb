"""The mean of several teachers: of distributions at a temperature, or of scores."""

import numpy as np
import pytest
from tiny import RANDOM, random_dataset

from minidistil.distill import Distillation, TeacherMean
from minidistil.losses import soft_label_kl
from minidistil.model import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

CONFIG = RANDOM.replace(id2label={i: str(i) for i in range(3)}, num_hidden_layers=1)
T = 2.0


def softmax(z, axis=-1):
    p = np.exp(z - z.max(axis, keepdims=True))
    return p / p.sum(axis, keepdims=True)


def scores_of(model):
    return lambda batch: model.forward(batch, keep_cache=False)[0]


def models(kind, n=3, **config):
    return [kind(CONFIG.replace(**config), seed=seed) for seed in range(1, n + 1)]


@pytest.fixture
def batch():
    return random_dataset(6).batch(np.arange(6))


def test_worked_by_hand():
    """One teacher sure of the first class, one of the second, at T = 1: a half each, not the even scores."""
    head = BertForSequenceClassification(CONFIG).heads[0]
    teachers = [lambda _, z=z: {"logits": np.array([z])} for z in ([0.0, -100.0, -1.0], [-100.0, 0.0, -1.0])]
    p = softmax(TeacherMean(teachers, head, 1.0)(None)["logits"])
    e = np.exp(-1)
    np.testing.assert_allclose(p, [[0.5 / (1 + e), 0.5 / (1 + e), e / (1 + e)]], rtol=1e-12)
    mean = TeacherMean(teachers, head, None)(None)["logits"]
    np.testing.assert_array_equal(mean, [[-50.0, -50.0, -1.0]])


def test_several_labels_have_a_distribution_each():
    head = BertForSequenceClassification(CONFIG.replace(problem_type="multi_label_classification")).heads[0]
    each = [np.array([[0.0, 400.0, -3.0]]), np.array([[2.0, -400.0, -3.0]])]
    teachers = [lambda _, z=z: {"logits": z} for z in each]
    mean = TeacherMean(teachers, head, T, several_labels=True)(None)["logits"]
    p = (1 / (1 + np.exp(-each[0][:, [0, 2]] / T)) + 1 / (1 + np.exp(-each[1][:, [0, 2]] / T))) / 2
    np.testing.assert_allclose(1 / (1 + np.exp(-mean[:, [0, 2]] / T)), p, rtol=1e-12)
    assert mean[0, 1] == 0, "one sure of it, one of the opposite"


def test_the_loss_is_the_mean_of_the_losses_but_for_a_constant(batch):
    student, *teachers = models(
        BertForSequenceClassification,
        4,
    )
    each = [scores_of(t)(batch)["logits"].astype(np.float64) for t in teachers]
    mean = TeacherMean([lambda _, z=z: {"logits": z} for z in each], student.heads[0], T)(None)["logits"]
    grads, sums = [], []
    for ours in (scores_of(student)(batch)["logits"], np.zeros_like(mean)):
        ours = ours.astype(np.float64)
        losses = [soft_label_kl(ours, z, temperature=T) for z in each]
        whole = soft_label_kl(ours, mean, temperature=T)
        grads.append((whole.grad, np.mean([loss.grad for loss in losses], axis=0)))
        sums.append(np.mean([loss.sum for loss in losses]) - whole.sum)
    for one, other in grads:
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert sums[0] == pytest.approx(sums[1], rel=1e-9)
    assert sums[0] > 0.001, "the teachers differ"


def test_one_teacher_is_its_own_mean(batch):
    student, teacher = models(BertForSequenceClassification, 2)
    mean = TeacherMean([scores_of(teacher)] * 3, student.heads[0], T)(batch)["logits"]
    assert mean.dtype == np.float32
    np.testing.assert_allclose(softmax(mean), softmax(scores_of(teacher)(batch)["logits"]), rtol=1e-5)


def test_labels_are_put_in_the_order_of_the_student(batch):
    student, one, two = models(BertForSequenceClassification)
    order = np.array([2, 0, 1])

    def shuffled(batch):
        logits = np.empty((6, 3), np.float32)
        logits[:, order] = scores_of(two)(batch)["logits"]
        return {"logits": logits}

    for temperature in (T, None):
        plain = TeacherMean([scores_of(one), scores_of(two)], student.heads[0], temperature)
        named = TeacherMean([scores_of(one), shuffled], student.heads[0], temperature, [None, order])
        np.testing.assert_array_equal(plain(batch)["logits"], named(batch)["logits"])


def test_a_softmax_over_the_tokens_of_a_sequence(batch):
    student, *teachers = models(BertForQuestionAnswering)
    mean = TeacherMean([scores_of(t) for t in teachers], student.heads[0], T)(batch)
    for name in ("start_logits", "end_logits"):
        for begin, end in zip(batch.cu_seqlens, batch.cu_seqlens[1:], strict=False):
            each = [softmax(scores_of(t)(batch)[name][begin:end] / T) for t in teachers]
            np.testing.assert_allclose(softmax(mean[name][begin:end] / T), np.mean(each, axis=0), rtol=1e-5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", [BertForTokenClassification, BertForQuestionAnswering])
def test_an_objective_takes_it_for_a_cache(batch, kind):
    """The same loss and gradients as with a teacher whose scores are the mean."""
    student, *teachers = models(kind)
    objective = Distillation(student, {"soft": 1.0}, temperature=T)
    mean = objective.teacher_cache = TeacherMean([scores_of(t) for t in teachers], student.heads[0], T)
    carried = {f"teacher_{name}": values for name, values in mean(batch).items()}
    grads = [student.params.like() for _ in range(2)]
    counts = objective.counts(batch)
    sums = objective(student, batch, counts, None, grads[0])
    other = Distillation(student, {"soft": 1.0}, temperature=T)
    assert other(student, batch.with_targets(**carried), counts, None, grads[1]) == sums
    np.testing.assert_array_equal(grads[0].flat, grads[1].flat)
    assert np.abs(grads[0].flat).max() > 0


def test_choices_of_an_example(batch):
    student, *teachers = models(BertForMultipleChoice)
    grouped = batch.__class__(**{**vars(batch), "cu_choices": np.array([0, 2, 6])})
    mean = TeacherMean([scores_of(t) for t in teachers], student.heads[0], T)(grouped)["logits"]
    for part in (slice(0, 2), slice(2, 6)):
        each = [softmax(scores_of(t)(grouped)["logits"][part] / T) for t in teachers]
        np.testing.assert_allclose(softmax(mean[part] / T), np.mean(each, axis=0), rtol=1e-5)

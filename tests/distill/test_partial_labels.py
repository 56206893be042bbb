"""Batches of which some examples, or all, have no label: counts, sums, and gradients from differences."""

import numpy as np
import pytest
from tiny import RANDOM

from minidistil.batch import Batch
from minidistil.distill import Distillation, init_student
from minidistil.distill.terms import TERMS
from minidistil.errors import InputError
from minidistil.model import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minidistil.ops.dropout import Dropout
from minidistil.text.dataset import Dataset, MultipleChoiceDataset
from minidistil.train.objective import ModelLoss, window_counts, window_losses

IDS = [[1, 7, 9, 2], [1, 5, 2], [1, 8, 11, 3, 30, 2], [1, 2], [1, 4, 4, 2], [1, 6, 2]]
LABELLED, OTHERS = [0, 2, 3], [1, 4, 5]
NONE = np.nan
TOKENS = [len(ids) for ids in IDS]


def sequences():
    ends = np.cumsum([0, *TOKENS])
    ids = np.concatenate(IDS).astype(np.int32)
    return Dataset(ids, np.zeros_like(ids), ends.astype(np.int64), np.arange(len(IDS)))


def classes():
    return sequences().with_targets(labels=np.array([0, -100, 1, 1, -100, -100])), {"id2label": two()}


def two():
    return {0: "a", 1: "b"}


def several():
    labels = np.array([[1.0, 0], [NONE, NONE], [0, 1], [1, 1], [NONE, NONE], [NONE, NONE]])
    kind = "multi_label_classification"
    return sequences().with_targets(labels=labels), {"problem_type": kind, "id2label": two()}


def numbers():
    labels = np.array([0.5, NONE, -100.0, 2.0, NONE, NONE])
    return sequences().with_targets(labels=labels), {"problem_type": "regression", "id2label": {0: "score"}}


def tags():
    row = [[-100, 1, 0, -100], [-100] * 3, [-100, 1, -100, 0, 0, -100], [-100, 1], [-100] * 4, [-100] * 3]
    return sequences().with_token_targets(labels=np.concatenate(row)), {"id2label": two()}


def spans():
    starts, ends = np.array([1, -100, 3, 0, -100, -100]), np.array([2, -100, 4, 0, -100, -100])
    return sequences().with_targets(start_positions=starts, end_positions=ends), {}


def choices():
    data = MultipleChoiceDataset(sequences(), np.array([0, 2, 4, 6]), {"labels": np.array([1, -100, -100])})
    return data, {}


HEADS = {
    "classes": (
        BertForSequenceClassification,
        classes,
        {"soft": 0.4, "hard": 0.7, "triplet": 0.3, "contrastive": 0.2},
    ),
    "several labels": (BertForSequenceClassification, several, {"logits": 0.4, "hard": 0.7}),
    "regression": (BertForSequenceClassification, numbers, {"logits": 0.4, "hard": 0.7}),
    "tags": (BertForTokenClassification, tags, {"soft": 0.4, "hard": 0.7}),
    "spans": (BertForQuestionAnswering, spans, {"soft": 0.4, "hard": 0.7}),
    "choices": (BertForMultipleChoice, choices, {"soft": 0.4, "hard": 0.7}),
}


@pytest.fixture(params=HEADS)
def case(request):
    kind, make, weights = HEADS[request.param]
    data, config = make()
    teacher = kind(RANDOM.replace(**config), dtype="float64", backend="numpy", seed=1)
    student = init_student(teacher, [0, 2])
    student.params.flat[:] += 0.05 * np.random.default_rng(0).standard_normal(student.params.flat.shape)
    labelled, others = ([0], [1, 2]) if isinstance(data, MultipleChoiceDataset) else (LABELLED, OTHERS)
    return data, student, teacher, weights, labelled, others


def loss_of(objective, student, batches):
    """The loss of a window of batches as the trainer has it, and its gradient."""
    grads, sums = student.params.like(), {}
    counts = window_counts(objective, batches)
    totals = {term: count or 1.0 for term, count in counts.items()}
    for batch in batches:
        for term, value in objective(student, batch, totals, Dropout(3, 4), grads).items():
            sums[term] = sums.get(term, 0.0) + value
    return window_losses(objective, sums, counts)["loss"], grads


def check_gradient(objective, student, batches):
    _, grads = loss_of(objective, student, batches)
    assert np.isfinite(grads.flat).all()
    original, rng, step = student.params.flat.copy(), np.random.default_rng(5), 1e-5
    for _ in range(2):
        along = rng.standard_normal(original.shape)
        found = []
        for sign in (1, -1):
            student.params.flat[:] = original + sign * step * along
            found.append(loss_of(objective, student, batches)[0])
        student.params.flat[:] = original
        assert (found[0] - found[1]) / (2 * step) == pytest.approx(grads.flat @ along, rel=1e-6)


def test_gradients_of_partial_labels(case):
    data, student, teacher, weights, labelled, others = case
    objective = Distillation(student, weights, teacher=teacher)
    check_gradient(objective, student, [data.batch(np.arange(len(data)))])
    # in a window of two micro-batches of which one has no label
    check_gradient(objective, student, [data.batch(others), data.batch(labelled)])


def test_labels_count_where_they_are(case):
    """The labels' part is that of the labelled examples alone; without any it is nothing."""
    data, student, teacher, weights, labelled, others = case
    hard = Distillation(student, {"hard": weights["hard"]}, teacher=teacher)
    whole, alone = (data.batch(rows) for rows in (np.arange(len(data)), labelled))
    assert hard.counts(whole) == hard.counts(alone)
    assert loss_of(hard, student, [whole])[0] == pytest.approx(loss_of(hard, student, [alone])[0], rel=1e-12)
    assert ModelLoss(student).counts(whole) == ModelLoss(student).counts(alone)
    objective = Distillation(student, weights, teacher=teacher)
    nothing = data.batch(others)
    counts = objective.counts(nothing)
    labels = [term for term in weights if TERMS[term].needs_labels]
    assert [counts[term] for term in labels] == [0] * len(labels)
    grads = student.params.like()
    sums = objective(student, nothing, counts, None, grads)  # a mean over none is 0
    assert [sums[term] for term in labels] == [0] * len(labels)
    rest = {term: weight for term, weight in weights.items() if term not in labels}
    same = student.params.like()
    others_alone = Distillation(student, rest, teacher=teacher)
    others_alone(student, nothing, others_alone.counts(nothing), None, same)
    np.testing.assert_array_equal(grads.flat, same.flat)


def test_triplets_count_labelled_sequences():
    data, config = classes()
    student = BertForSequenceClassification(RANDOM.replace(**config), backend="numpy")
    objective = Distillation(student, {"triplet": 1.0})
    assert objective.counts(data.batch(np.arange(len(data)))) == {"triplet": 3}


def test_a_row_with_labels_has_all_of_them():
    model = BertForSequenceClassification(
        RANDOM.replace(problem_type="multi_label_classification", id2label=two()), backend="numpy"
    )
    batch = Batch.from_sequences(IDS[:2], targets={"labels": np.array([[1.0, NONE], [NONE, NONE]])})
    with pytest.raises(InputError, match="labels must be finite numbers"):
        model.loss_counts(batch)

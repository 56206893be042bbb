"""Objective of a distillation against its definition, heads and labels that do not fit."""

import numpy as np
import pytest
from tiny import RANDOM, random_dataset, random_labelled

from minidistil.batch import Batch
from minidistil.distill import Distillation, init_student
from minidistil.distill.terms import needs_labels
from minidistil.errors import ConfigError, InputError
from minidistil.losses import cosine, cross_entropy, logits_mse, soft_label_kl
from minidistil.model import (
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)
from minidistil.ops.dropout import Dropout
from minidistil.ops.pooling import pool_forward


def gradient(objective, student, batch, dropout=None):
    grads = student.params.like()
    counts = objective.counts(batch)
    sums = objective(student, batch, counts, dropout, grads)
    return {term: sums[term] / counts[term] for term in sums}, grads


def test_terms_are_what_they_say(teacher, student):
    batch = random_labelled().batch(np.arange(7))
    objective = Distillation(
        student, {"soft": 0.5, "hard": 2.0, "cosine": 3.0}, teacher=teacher, temperature=4.0
    )
    values, _ = gradient(objective, student, batch)
    ours, theirs = student.forward(batch)[0], teacher.forward(batch)[0]
    assert values == pytest.approx(
        {
            "soft": soft_label_kl(ours["logits"], theirs["logits"], temperature=4.0).mean,
            "hard": cross_entropy(ours["logits"], batch.targets["labels"]).mean,
            "cosine": cosine(ours["last_hidden_state"], theirs["last_hidden_state"]).mean,
        },
        rel=1e-12,
    )
    assert objective.counts(batch) == {"soft": 7, "hard": 7, "cosine": batch.num_tokens}


@pytest.mark.parametrize(
    "weights", [{"soft": 1.0}, {"hard": 1.0}, {"cosine": 1.0}, {"soft": 2, "hard": 3, "cosine": 5}]
)
def test_gradient_against_finite_differences(teacher, student, weights):
    batch = random_labelled().batch(np.arange(5))
    objective = Distillation(student, weights, teacher=teacher)

    def loss():
        values, _ = gradient(objective, student, batch, Dropout(1, 2))
        return sum(weights[term] * value for term, value in values.items())

    _, grads = gradient(objective, student, batch, Dropout(1, 2))
    rng = np.random.default_rng(3)
    for _ in range(3):
        direction = rng.standard_normal(student.params.flat.shape)
        original = student.params.flat.copy()
        step = 1e-5
        student.params.flat[:] = original + step * direction
        above = loss()
        student.params.flat[:] = original - step * direction
        below = loss()
        student.params.flat[:] = original
        assert grads.flat @ direction == pytest.approx((above - below) / (2 * step), rel=1e-6)


def test_the_teacher_is_never_trained(teacher, student):
    before = teacher.params.flat.copy()
    gradient(
        Distillation(student, {"soft": 1, "cosine": 1}, teacher=teacher),
        student,
        random_labelled().batch([0, 1]),
    )
    np.testing.assert_array_equal(teacher.params.flat, before)


def test_what_a_batch_carries_stands_in_for_the_teacher(teacher, student):
    weights = {"soft": 1, "logits": 0.5, "embedding": 2}
    batch = random_labelled().batch(np.arange(6))
    said = teacher.forward(batch)[0]
    pooled, _ = pool_forward(said["last_hidden_state"], batch, "mean")
    carrying = batch.with_targets(teacher_logits=said["logits"], teacher_pooled=pooled)
    live = gradient(Distillation(student, weights, teacher=teacher), student, batch)
    carried = gradient(Distillation(student, weights), student, carrying)
    assert carried[0] == live[0]
    np.testing.assert_array_equal(carried[1].flat, live[1].flat)
    with pytest.raises(InputError, match="`teacher_logits` and `teacher_pooled` in the batch"):
        gradient(Distillation(student, weights), student, batch)


def test_triplets_need_no_teacher(student):
    batch = random_labelled().batch(np.arange(6))
    values, _ = gradient(Distillation(student, {"triplet": 1.0}), student, batch)
    assert values["triplet"] > 0


def test_a_token_classifier_learns_from_every_token():
    teacher = BertForTokenClassification(RANDOM, dtype="float64", backend="numpy", seed=1)
    student = init_student(teacher, [0])
    batch = Batch.from_sequences([[1, 2, 3], [4, 5]])
    objective = Distillation(student, {"soft": 1}, teacher=teacher)
    assert objective.counts(batch) == {"soft": 5}
    values, _ = gradient(objective, student, batch)
    ours, theirs = student.forward(batch)[0]["logits"], teacher.forward(batch)[0]["logits"]
    assert values["soft"] == pytest.approx(soft_label_kl(ours, theirs).mean)


def test_soft_labels_of_which_any_number_may_hold():
    config = RANDOM.replace(problem_type="multi_label_classification")
    teacher = BertForSequenceClassification(config, dtype="float64", backend="numpy", seed=1)
    student = init_student(teacher, [0])
    batch = Batch.from_sequences([[1, 2, 3], [4, 5]])
    objective = Distillation(student, {"soft": 1}, teacher=teacher, temperature=3.0)
    labels = config.num_labels
    assert objective.counts(batch) == {"soft": 2 * labels}, "as of the hard labels"
    values, grads = gradient(objective, student, batch)
    ours, theirs = (1 / (1 + np.exp(-m.forward(batch)[0]["logits"] / 3)) for m in (student, teacher))
    kl = theirs * np.log(theirs / ours) + (1 - theirs) * np.log((1 - theirs) / (1 - ours))
    assert values["soft"] == pytest.approx(9 * kl.mean())
    bias = 3 * (ours - theirs).sum(axis=0) / (2 * labels)
    np.testing.assert_allclose(grads["classifier.bias"], bias, rtol=1e-9)


@pytest.mark.parametrize("term", ["soft", "logits"])
def test_a_token_classifier_learns_from_tokens_that_are_compared(term):
    teacher = BertForTokenClassification(RANDOM, dtype="float64", backend="numpy", seed=1)
    student = init_student(teacher, [0])
    compared = np.array([False, True, True, False, True])
    batch = Batch.from_sequences([[1, 2, 3], [4, 5]], targets={"compared": compared})
    objective = Distillation(student, {term: 1}, teacher=teacher)
    assert objective.counts(batch) == {term: 3}
    values, grads = gradient(objective, student, batch)
    ours, theirs = (m.forward(batch)[0]["logits"][compared] for m in (student, teacher))
    loss = {"soft": soft_label_kl, "logits": logits_mse}[term](ours, theirs)
    assert values[term] == pytest.approx(loss.mean)
    bias = loss.grad.sum(axis=0) / 3
    np.testing.assert_allclose(grads["classifier.bias"], bias, rtol=1e-12)
    wrong = Batch.from_sequences([[1, 2, 3], [4, 5]], targets={"compared": compared.astype(int)})
    with pytest.raises(InputError, match=r"compared must be bool of shape \[5\]"):
        gradient(objective, student, wrong)


def test_which_terms_need_labels():
    assert needs_labels({"soft": 1, "hard": 0.5})
    assert needs_labels({"triplet": {"margin": 2}})
    assert needs_labels({"contrastive": 1})
    assert not needs_labels({"soft": 1, "hard": 0, "triplet": {"weight": 0}})


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({}, "there are: soft, hard, logits, cosine"),
        ({"soft": 0}, "no term has a weight"),
        ({"mlm": 1}, "mlm"),
        ({"cosine": 1}, "needs the teacher"),
    ],
)
def test_bad_weights(student, weights, match):
    with pytest.raises(ConfigError, match=match):
        Distillation(student, weights)


def test_bad_combinations(teacher, student):
    with pytest.raises(ConfigError, match="temperature"):
        Distillation(student, {"soft": 1}, teacher=teacher, temperature=0)
    other = BertForSequenceClassification(RANDOM.replace(vocab_size=61), dtype="float64", backend="numpy")
    with pytest.raises(ConfigError, match="tokenizer"):
        Distillation(student, {"soft": 1}, teacher=other)
    wide = BertForSequenceClassification(RANDOM.replace(hidden_size=32), dtype="float64", backend="numpy")
    with pytest.raises(ConfigError, match="widths"):
        Distillation(student, {"cosine": 1}, teacher=wide)
    small = RANDOM.replace(num_hidden_layers=1)
    both = BertForPreTraining(small, backend="numpy")
    one = BertForSequenceClassification(small.replace(id2label={0: "score"}), backend="numpy")
    with pytest.raises(ConfigError, match="for a regression use the term logits"):
        Distillation(one, {"soft": 1}, teacher=one)
    with pytest.raises(ConfigError, match="soft_on='masked' is for a masked LM"):
        Distillation(student, {"soft": 1}, teacher=teacher, soft_on="masked")
    with pytest.raises(ConfigError, match="one task head"):
        Distillation(both, {"hard": 1})
    with pytest.raises(InputError, match="teacher_logits"):
        gradient(Distillation(student, {"soft": 1}), student, random_labelled().batch([0]))


@pytest.mark.parametrize("term", ["soft", "logits"])
@pytest.mark.parametrize("other", [BertModel, BertForTokenClassification, BertForQuestionAnswering])
def test_a_teacher_with_other_scores_is_refused(student, term, other):
    """A token classifier's output is called logits too, but has a row for every token."""
    teacher = other(student.config)
    with pytest.raises(
        ConfigError, match=f"{term}: scores of .*SequenceClassification.*{other.__name__}, the teacher"
    ):
        Distillation(student, {term: 1.0, "cosine": 1.0}, teacher=teacher)
    Distillation(student, {"hard": 1.0, "cosine": 1.0}, teacher=teacher)


def test_a_loss_of_two_outputs_is_counted_once():
    student = BertForQuestionAnswering(RANDOM, dtype="float64", backend="numpy", seed=1)
    inputs, answers = [[3, 5, 7]], {"start_positions": np.array([0]), "end_positions": np.array([2])}
    batch = student.pack(inputs, **answers)
    objective = Distillation(student, {"hard": 1.0})
    grads, totals = student.params.like(), objective.counts(batch)
    sums = objective(student, batch, totals, None, grads)
    loss, expected = student.loss_and_grads(inputs, **answers)
    assert sums["hard"] / totals["hard"] == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(grads.flat, expected.flat, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForTokenClassification])
@pytest.mark.parametrize("weights", [{"soft": 1.0}, {"logits": 1.0}, {"soft": 1.0, "hard": 0.5}])
def test_labels_in_another_order_are_the_same_labels(kind, weights):
    names, order = ["a", "b", "c"], [2, 0, 1]
    config = RANDOM.replace(id2label=dict(enumerate(names)))
    teacher = kind(config, dtype="float64", backend="numpy", seed=1)
    same = kind(config, dtype="float64", backend="numpy", seed=2)
    turned = kind(
        config.replace(id2label={i: names[o] for i, o in enumerate(order)}), dtype="float64", backend="numpy"
    )
    turned.params.flat[:] = same.params.flat
    for name in ("classifier.weight", "classifier.bias"):
        turned.params[name][:] = same.params[name][order]
    data = random_dataset(6, seed=1)
    rows = data.num_tokens if kind is BertForTokenClassification else len(data)
    labels, whole = np.random.default_rng(0).integers(0, 3, rows), np.arange(len(data))
    inputs = data.batch(whole)
    found = []
    for student, own in ((same, labels), (turned, np.argsort(order)[labels])):
        batch = inputs.with_targets(labels=own)
        sums, grads = gradient(Distillation(student, weights, teacher=teacher), student, batch)
        found.append((sums, grads["bert.embeddings.word_embeddings.weight"]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-9, atol=1e-15)


def test_the_order_of_labels_is_part_of_what_is_learnt(teacher):
    turned = BertForSequenceClassification(
        RANDOM.replace(id2label={0: "pos", 1: "neg"}), dtype="float64", backend="numpy"
    )
    teacher.config = RANDOM.replace(id2label={0: "neg", 1: "pos"})
    assert Distillation(turned, {"soft": 1}, teacher=teacher).settings()["labels"] == [1, 0]
    teacher.config = turned.config
    assert "labels" not in Distillation(turned, {"soft": 1}, teacher=teacher).settings()


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["cat", "dog"], "labels are neg, pos, the student's cat, dog"),
        (["neg", "pos", "other"], r"the teacher has 2 labels \(neg, pos\), the student 3"),
        (["LABEL_0", "LABEL_1"], None),
        (["neg", "pos"], None),
    ],
)
@pytest.mark.parametrize("term", ["soft", "logits"])
def test_labels_of_other_names_are_refused(teacher, names, refused, term):
    teacher.config = RANDOM.replace(id2label={0: "neg", 1: "pos"})
    config = RANDOM.replace(id2label=dict(enumerate(names)))
    student = BertForSequenceClassification(config, dtype="float64", backend="numpy")
    Distillation(student, {"cosine": 1.0, "hard": 1.0}, teacher=teacher)  # compares no scores
    if refused is None:
        Distillation(student, {term: 1.0}, teacher=teacher)
        return
    with pytest.raises(ConfigError, match=refused):
        Distillation(student, {term: 1.0}, teacher=teacher)


def test_terms_of_scores_are_added_up_in_one_order(teacher, student):
    """Rounding depends on the order of three: that of a recipe must not matter."""
    batch, weights = random_labelled().batch(np.arange(9)), {"hard": 0.3, "logits": 0.7, "soft": 1.1}
    turned = dict(reversed(weights.items()))
    one, other = (
        gradient(Distillation(student, terms, teacher=teacher), student, batch) for terms in (weights, turned)
    )
    assert one[0] == other[0]
    np.testing.assert_array_equal(one[1].flat, other[1].flat)


def test_means_over_examples_are_those_of_one_batch_of_all(teacher, student, monkeypatch):
    """In batches of some tokens, each in its weight; nothing of the student changes."""
    monkeypatch.setattr("minidistil.distill.objective.TOKENS_AT_ONCE", 24)
    data, before = random_labelled(), student.params.flat.copy()
    weights = {"soft": 0.5, "hard": 2.0, "cosine": {"weight": 3.0, "layers": "uniform"}, "relations": 1.0}
    objective = Distillation(student, weights, teacher=teacher)
    whole, _ = gradient(objective, student, data.batch(np.arange(len(data))))
    means = objective.means(student, data)
    loss = means.pop("loss")
    assert means == pytest.approx(whole, rel=1e-12)
    assert loss == pytest.approx(sum(objective.weights[name] * value for name, value in whole.items()))
    np.testing.assert_array_equal(student.params.flat, before)

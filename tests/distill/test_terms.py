"""Every term of the distillation objective: its value from its definition, its gradient from differences."""

import numpy as np
import pytest

from minidistil import BertConfig, losses
from minidistil.batch import Batch
from minidistil.distill import Distillation, init_student
from minidistil.distill.layer_terms import layer_pairs
from minidistil.distill.terms import TERMS
from minidistil.errors import ConfigError
from minidistil.model import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
)
from minidistil.ops.dropout import Dropout
from minidistil.ops.pooling import pool_forward

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=12,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=9,
    initializer_range=0.3,
)
NARROW = CONFIG.replace(hidden_size=8, num_hidden_layers=2)
IDS = [[1, 7, 9, 2], [1, 5, 2], [1, 8, 11, 3, 30, 2], [1, 2]]
LABELS = np.array([0, 1, 0, 1])
MASKED = np.array([-100, 4, -100, -100, -100, 7, -100, 3, -100, -100, 9, -100, -100, -100, -100])

WITH_OPTIONS = {
    "cosine": {},
    "cosine of all layers": {"layers": "uniform"},
    "hidden": {},
    "hidden of the last": {"layers": "last"},
    "hidden from the embeddings on": {"layers": ((0, 0), (2, 3))},
    "pkd": {},
    "attention": {},
    "attention probabilities": {"kind": "probabilities", "layers": "last"},
    "relations": {},
    "relations of values": {"of": "v", "heads": 4, "layers": ((1, 4),)},
    "embedding": {},
    "embedding mse": {"kind": "mse", "pooling": "cls"},
    "triplet": {"margin": 2.0},
    "triplet of all": {"margin": 2.0, "mining": "all", "pooling": "max"},
    "contrastive": {"temperature": 0.3},
}


def classifier(config=CONFIG, seed=1):
    return BertForSequenceClassification(config, dtype="float64", backend="numpy", seed=seed)


def teacher_and_student(make=classifier, narrow=False):
    teacher = make()
    student = make(NARROW, 2) if narrow else init_student(teacher, [0, 2])
    student.params.flat[:] += 0.05 * np.random.default_rng(0).standard_normal(student.params.flat.shape)
    return teacher, student


def batch(**targets):
    return Batch.from_sequences([np.array(ids) for ids in IDS], targets=targets)


def gradient(objective, model, given, dropout=None):
    grads = model.params.like()
    totals = {name: max(n, 1) for name, n in objective.counts(given).items()}
    sums = objective(model, given, totals, dropout, grads)
    return sum(objective.weights[name] * sums[name] / totals[name] for name in sums), grads


def assert_gradient(objective, student, given):
    """Of the whole objective, by every parameter; dropout, whose masks are fixed, among it."""
    dropout, step = Dropout(3, 4), 1e-5
    _, grads = gradient(objective, student, given, dropout)
    original, rng = student.params.flat.copy(), np.random.default_rng(5)
    for _ in range(2):
        direction = rng.standard_normal(original.shape)
        values = []
        for sign in (1, -1):
            student.params.flat[:] = original + sign * step * direction
            values.append(gradient(objective, student, given, dropout)[0])
        student.params.flat[:] = original
        noise = 1e-9 * np.linalg.norm(grads.flat) * np.linalg.norm(direction)
        difference = (values[0] - values[1]) / (2 * step)
        assert grads.flat @ direction == pytest.approx(difference, rel=1e-6, abs=noise)


@pytest.mark.parametrize("named", WITH_OPTIONS)
def test_gradients(named):
    teacher, student = teacher_and_student()
    weights = {named.split()[0]: {"weight": 0.7, **WITH_OPTIONS[named]}}
    assert_gradient(Distillation(student, weights, teacher=teacher), student, batch(labels=LABELS))


@pytest.mark.parametrize("named", ["hidden", "hidden of the last", "relations", "triplet", "contrastive"])
def test_gradients_between_widths(named):
    teacher, student = teacher_and_student(narrow=True)
    objective = Distillation(student, {named.split()[0]: WITH_OPTIONS[named]}, teacher=teacher)
    assert_gradient(objective, student, batch(labels=LABELS))


def test_all_at_once():
    teacher, student = teacher_and_student()
    weights = {**dict.fromkeys(TERMS, 0.1), "soft": 1.0, "hard": 0.5, "logits": 0.3}
    objective = Distillation(student, weights, teacher=teacher, temperature=3.0)
    assert_gradient(objective, student, batch(labels=LABELS))
    assert set(objective.counts(batch(labels=LABELS))) == set(weights)


def test_values():
    teacher, student = teacher_and_student()
    given = batch(labels=LABELS)
    ours, theirs = (m.forward(given, hidden_states=True, qkv=True)[0] for m in (student, teacher))
    pairs, cu = [(1, 2), (2, 4)], given.cu_seqlens
    states = [(ours["hidden_states"][i], theirs["hidden_states"][j]) for i, j in pairs]
    qkv = [(ours["qkv"][i - 1], theirs["qkv"][j - 1]) for i, j in pairs]
    pooled = [pool_forward(out["last_hidden_state"], given, "mean")[0] for out in (ours, theirs)]
    first = given.cls_rows
    expected = {
        "cosine": losses.cosine(*states[-1]).mean,
        "hidden": sum(losses.mean_squared_error(*pair).mean for pair in states),
        "pkd": sum(losses.pkd(s[first], t[first]).mean for s, t in states),
        "attention": sum(losses.attention_scores_mse(*pair, cu, 2).mean for pair in qkv),
        "relations": losses.self_attention_relations(*qkv[-1], cu, relation_heads=2).mean,
        "embedding": losses.cosine(*pooled).mean,
        "triplet": losses.triplet_margin(pooled[0], LABELS, margin=1.0).mean,
        "contrastive": losses.contrastive(pooled[0], LABELS).mean,
        "logits": losses.logits_mse(ours["logits"], theirs["logits"]).mean,
    }
    for name, value in expected.items():
        assert gradient(Distillation(student, {name: 1.0}, teacher=teacher), student, given)[
            0
        ] == pytest.approx(value, rel=1e-12), name


def masked_lm(config=CONFIG, seed=1):
    return BertForMaskedLM(config, dtype="float64", backend="numpy", seed=seed)


@pytest.mark.parametrize("soft_on", ["all", "masked"])
def test_words(soft_on):
    teacher, student = teacher_and_student(masked_lm)
    given = batch(labels=MASKED)
    weights = {"soft": 5.0, "hard": 2.0, "cosine": 1.0}
    objective = Distillation(student, weights, teacher=teacher, soft_on=soft_on)
    keep = MASKED != -100 if soft_on == "masked" else None
    ours, theirs = (m.forward(given)[0] for m in (student, teacher))
    expected = (
        5 * losses.soft_label_kl(ours["logits"], theirs["logits"], mask=keep).mean
        + 2 * losses.cross_entropy(ours["logits"], MASKED).mean
        + losses.cosine(ours["last_hidden_state"], theirs["last_hidden_state"]).mean
    )
    assert gradient(objective, student, given)[0] == pytest.approx(expected, rel=1e-12)
    assert_gradient(objective, student, given)


def test_starts_and_ends():
    """KL over the tokens of each sequence; the mean over starts and ends together."""
    teacher, student = teacher_and_student(
        lambda config=CONFIG, seed=1: BertForQuestionAnswering(
            config, dtype="float64", backend="numpy", seed=seed
        )
    )
    given = batch(start_positions=np.array([1, 0, 2, 0]), end_positions=np.array([2, 1, 2, 1]))
    ours, theirs = (m.forward(given)[0] for m in (student, teacher))
    total = 0.0
    for name in ("start_logits", "end_logits"):
        for b in range(len(IDS)):
            rows = slice(given.cu_seqlens[b], given.cu_seqlens[b + 1])
            total += losses.soft_label_kl(ours[name][None, rows], theirs[name][None, rows]).sum
    objective = Distillation(student, {"soft": 1.0}, teacher=teacher)
    assert gradient(objective, student, given)[0] == pytest.approx(total / (2 * len(IDS)), rel=1e-12)
    assert_gradient(Distillation(student, {"soft": 0.5, "hard": 0.5}, teacher=teacher), student, given)


def test_a_bare_encoder_can_be_taught():
    teacher, student = teacher_and_student(
        lambda config=CONFIG, seed=1: BertModel(config, dtype="float64", backend="numpy", seed=seed)
    )
    assert_gradient(Distillation(student, {"hidden": 1, "relations": 1}, teacher=teacher), student, batch())
    with pytest.raises(ConfigError, match="one task head"):
        Distillation(student, {"hard": 1})


def test_projections_learn_beside_the_student_and_are_not_saved_with_it(tmp_path):
    teacher, student = teacher_and_student(narrow=True)
    before = {name: values.copy() for name, values in student.params.items()}
    Distillation(student, {"hidden": 1.0}, teacher=teacher)
    added = set(student.params) - set(before)
    assert added == {"distillation.hidden.1.weight", "distillation.hidden.2.weight"}
    assert all(student.params[name].shape == (12, 8) and student.params[name].any() for name in added)
    assert all((student.params[name] == values).all() for name, values in before.items())
    parameters = student.params
    Distillation(student, {"hidden": 1.0}, teacher=teacher)  # a second objective finds them there
    assert student.params is parameters, "nothing is copied without need"
    student.save_pretrained(tmp_path / "student")
    again = BertForSequenceClassification.from_pretrained(tmp_path / "student", strict=True)
    assert set(again.params) == set(before)


def test_pairs_of_layers():
    assert layer_pairs("last", 3, 12, embeddings=True) == [(3, 12)]
    assert layer_pairs("uniform", 3, 12, embeddings=True) == [(1, 4), (2, 8), (3, 12)]
    assert layer_pairs("uniform", 4, 6, embeddings=False) == [(1, 2), (2, 3), (3, 4), (4, 6)]
    assert layer_pairs("uniform", 4, 2, embeddings=False) == [(1, 1), (2, 1), (3, 2), (4, 2)]
    assert layer_pairs("uniform", 4, 2, embeddings=True)[0] == (1, 0)
    assert layer_pairs([[0, 0], [1, 5]], 3, 6, embeddings=True) == [(0, 0), (1, 5)]
    for wrong in ([[0, 0]], [[1, 7]], [[4, 1]], [[1]], [[1, 1], [1, 2]], []):
        with pytest.raises(ConfigError, match="layer"):
            layer_pairs(wrong, 3, 6, embeddings=False)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ({"hiden": 1}, "no term 'hiden'; there are: soft"),
        ({"patient": 1}, "the term patient is now called pkd"),
        ({"hidden": [1]}, r"term hidden: weight is \[1\]: expected a number"),
        ({"hidden": -1}, "weight of hidden must be a number >= 0"),
        ({"hidden": float("nan")}, "weight of hidden must be a number >= 0"),
        ({"hidden": {"layer": "last"}}, r"term hidden: there is no setting layer \(did you mean layers\?\)"),
        ({"hidden": {"layers": "first"}}, "layers is 'first': expected"),
        ({"cosine": 1}, "the cosine term needs equal widths; the teacher has 12, the student 8"),
        ({"pkd": 1}, "equal widths"),
        ({"embedding": 1}, "equal widths"),
        ({"relations": {"of": "qx"}}, "relations are of some of q, k and v, not 'qx'"),
        ({"relations": {"heads": 3}}, "3 relation heads do not divide the student's width 8"),
        ({"embedding": {"pooling": "sum"}}, "pooling is 'sum': expected"),
        ({"hidden": {"layers": [[1, 9]]}}, r"\[1, 9\] is no pair of layers"),
    ],
)
def test_what_does_not_fit(weights, match):
    teacher, student = teacher_and_student(narrow=True)
    with pytest.raises(ConfigError, match=match):
        Distillation(student, weights, teacher=teacher)


def test_heads_that_cannot_be_compared():
    teacher, student = classifier(), classifier(CONFIG.replace(num_attention_heads=3))
    with pytest.raises(ConfigError, match="the teacher has 2 heads, the student 3: use relations"):
        Distillation(student, {"attention": 1}, teacher=teacher)
    assert_gradient(Distillation(student, {"relations": {"heads": 6}}, teacher=teacher), student, batch())

"""Training of a student: whole runs, and data and tokenizers that are refused."""

import numpy as np
import pytest
from tiny import RANDOM, make_tokenizer, random_labelled

from minidistil.distill import DistillationTrainer, init_student
from minidistil.errors import ConfigError, InputError
from minidistil.losses import soft_label_kl
from minidistil.model import (
    BertForSequenceClassification,
)
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer


def test_a_student_comes_closer_to_its_teacher(teacher, tmp_path):
    data = random_labelled(64)
    student = init_student(teacher, [0, 2])
    theirs = teacher.forward(data.batch(np.arange(64)))[0]["logits"]

    def distance():
        return soft_label_kl(student.forward(data.batch(np.arange(64)))[0]["logits"], theirs).mean

    before = distance()
    settings = TrainSettings(epochs=15, batch_size=16, lr=3e-3, dropout=False)
    bare = Dataset(data.input_ids, data.token_type_ids, data.offsets, data.example_ids)  # no labels
    result = DistillationTrainer(
        student, teacher, bare, settings=settings, out=tmp_path / "run", quiet=True
    ).train()
    assert distance() < 0.2 * before
    assert result.steps == 60


def test_the_best_student_is_handed_back_beside_what_the_objective_learnt(teacher, tmp_path):
    """A projection for unequal widths is trained, but is no part of a model that is saved."""
    student = init_student(teacher, [0, 2], width=8)
    scores = iter([0.5, 0.9, 0.1])
    settings = TrainSettings(epochs=3, batch_size=10, lr=1e-2, keep_best="score")
    seen = []

    def evaluate():
        seen.append(student.params["bert.encoder.layer.0.output.dense.weight"].copy())
        return {"score": next(scores)}

    DistillationTrainer(
        student, teacher, random_labelled(), settings=settings, weights={"soft": 1, "hidden": 1},
        out=tmp_path, evaluate=evaluate, quiet=True,
    ).train()  # fmt: skip
    np.testing.assert_array_equal(student.params["bert.encoder.layer.0.output.dense.weight"], seen[1])
    assert any(name.startswith("distillation.") for name in student.params)


def test_tokenizers_that_give_other_ids_are_refused(teacher, student, tmp_path):
    ours = make_tokenizer(tmp_path / "ours")
    words = (tmp_path / "ours" / "vocab.txt").read_text().split()
    words[-1], words[-2] = words[-2], words[-1]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vocab.txt").write_text("\n".join(words) + "\n")
    theirs, settings = Tokenizer.from_pretrained(tmp_path / "other"), TrainSettings(max_steps=1)
    arguments = {"settings": settings, "quiet": True}
    DistillationTrainer(student, teacher, random_labelled(), tokenizers=(ours, ours), **arguments)
    with pytest.raises(ConfigError, match=f"token {len(words) - 2} is '{words[-2]}' there, '{words[-1]}'"):
        DistillationTrainer(student, teacher, random_labelled(), tokenizers=(ours, theirs), **arguments)


def test_texts_that_a_teacher_cannot_read_are_refused_at_once(student):
    short = BertForSequenceClassification(
        RANDOM.replace(max_position_embeddings=5), dtype="float64", backend="numpy"
    )
    with pytest.raises(InputError, match="the teacher takes 5 tokens, and the texts have up to 11"):
        DistillationTrainer(student, short, random_labelled(), settings=TrainSettings(max_steps=1))
    with pytest.raises(InputError, match="the model takes 5 tokens"):
        Trainer(short, ModelLoss(short), random_labelled(), settings=TrainSettings(max_steps=1))

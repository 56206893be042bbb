"""Twenty training steps have the same bits with any number of threads, and again when repeated."""

import hashlib

import numpy as np
import pytest

from minidistil import BertConfig, DistilBertConfig, threads
from minidistil.distill.objective import Distillation
from minidistil.model import BertForMaskedLM, BertForSequenceClassification, DistilBertForMaskedLM
from minidistil.text.dataset import Dataset
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer

# Wide and long enough that every kernel has rows for eight threads.
SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 160,
    "max_position_embeddings": 48,
}
COUNTS = (1, 2, 3, 4, 8, 2)


@pytest.fixture
def thread_count():
    before = threads.get_num_threads()
    yield threads.set_num_threads
    threads.set_num_threads(before)


def dataset():
    rng = np.random.default_rng(3)
    lengths = rng.integers(1, 48, 80)
    ids = rng.integers(5, 300, lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    labels = rng.integers(0, 2, len(lengths))
    return Dataset(ids, np.zeros_like(ids), offsets, np.arange(len(lengths)), {"labels": labels})


def fine_tuning():
    model = BertForSequenceClassification(BertConfig(**SIZES, num_hidden_layers=2), seed=1)
    return model, ModelLoss(model), dataset()


def task_distillation():
    teacher = BertForSequenceClassification(BertConfig(**SIZES, num_hidden_layers=2), seed=2)
    model = BertForSequenceClassification(BertConfig(**SIZES, num_hidden_layers=1), seed=1)
    weights = {"soft": 1.0, "hard": 1.0, "cosine": 1.0}
    return model, Distillation(model, weights, teacher=teacher.eval()), dataset()


@pytest.mark.parametrize("job", [fine_tuning, task_distillation])
def test_twenty_steps(job, thread_count):
    hashes = set()
    for count in COUNTS:
        thread_count(count)
        model, objective, data = job()
        settings = TrainSettings(max_steps=20, batch_size=8, lr=1e-3, seed=4)
        result = Trainer(model, objective, data, settings=settings, quiet=True).train()
        assert result.steps == 20
        hashes.add(hashlib.sha256(model.params.flat.tobytes()).hexdigest())
    assert len(hashes) == 1


def test_the_triple_loss(thread_count):
    """The losses over the vocabulary and all gradients, in more chunks than one."""
    teacher = BertForMaskedLM(BertConfig(**SIZES, num_hidden_layers=2), seed=2)
    student = DistilBertForMaskedLM(DistilBertConfig(**SIZES, num_hidden_layers=1), seed=1)
    rng = np.random.default_rng(0)
    ids = rng.integers(5, 300, (12, 40))
    labels = np.where(rng.random(ids.shape) < 0.2, ids, -100)
    batch = student.pack(ids, labels=labels)
    objective = Distillation(student, {"soft": 5.0, "hard": 2.0, "cosine": 1.0}, teacher=teacher)
    totals = {term: float(n) for term, n in objective.counts(batch).items()}
    seen = set()
    for count in COUNTS:
        thread_count(count)
        grads = student.params.like()
        sums = objective(student, batch, totals, None, grads)
        seen.add((tuple(sums.values()), grads.flat.tobytes()))
    assert len(seen) == 1

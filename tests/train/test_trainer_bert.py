"""The trainer with a real, if small, BERT: two layers, dropout everywhere, texts of uneven lengths."""

import hashlib
import signal

import numpy as np
import pytest

from minidistil import BertConfig
from minidistil.model import BertForPreTraining, BertForSequenceClassification
from minidistil.text.dataset import Dataset
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=16,
)
SETTINGS = {"epochs": 2, "batch_size": 4, "accumulation": 2, "lr": 3e-3, "warmup": 1, "log_every": 1}


def data(n=20):
    """Class 1 where token 7 occurs."""
    rng = np.random.default_rng(5)
    lengths = rng.integers(2, 12, n)
    ids = rng.integers(8, 40, lengths.sum()).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    labels = np.arange(n) % 2
    ids[offsets[:-1][labels == 1] + 1] = 7
    return Dataset(ids, np.zeros_like(ids), offsets, np.arange(n), {"labels": labels})


class Loss(ModelLoss):
    """Stops itself in its n-th micro-batch."""

    n = -1

    def __call__(self, *args):
        self.n -= 1
        if self.n == 0:
            signal.raise_signal(signal.SIGINT)
        return super().__call__(*args)


def trainer(out=None, *, stop=-1, dtype="float32", frozen=(), evaluate=None, **changes):
    model = BertForSequenceClassification(CONFIG, seed=1, dtype=dtype, backend="numpy")
    if frozen:
        model.freeze(*frozen)
    objective = Loss(model)
    objective.n = stop
    settings = TrainSettings(**{**SETTINGS, **changes})
    return Trainer(model, objective, data(), settings=settings, out=out, evaluate=evaluate, quiet=True)


def digest(t):
    arrays = (t.model.params.flat, t.optimizer.m.flat, t.optimizer.v.flat)
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def test_it_learns():
    result = trainer(epochs=12, lr=1e-2, dropout=False).train()
    losses = [r["loss"] for r in result.history]
    assert losses[0] == pytest.approx(np.log(2), abs=0.05)
    assert losses[-1] < 0.1


@pytest.mark.parametrize("stop", [1, 4, 5, 8])
def test_resumed_bit_for_bit(tmp_path, stop):
    undisturbed = trainer()
    undisturbed.train()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, stop=stop).train()
    resumed = trainer(tmp_path)
    resumed.train()
    assert digest(resumed) == digest(undisturbed)


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 2), (2, 4)])
def test_accumulating_equals_a_bigger_batch(batch_size, accumulation):
    """With dropout: an example's masks do not depend on the batch it is in."""
    common = {"dtype": "float64", "group_by_length": False}
    small = trainer(batch_size=batch_size, accumulation=accumulation, **common)
    small.train()
    big = trainer(batch_size=8, accumulation=1, **common)
    big.train()
    np.testing.assert_allclose(small.model.params.flat, big.model.params.flat, rtol=1e-9, atol=1e-12)


def test_frozen_embeddings_stay(tmp_path):
    t = trainer(frozen=("*.embeddings.*",))
    before = t.model.params.flat.copy()
    t.train()
    changed = {
        n
        for n, p in t.model.params.items()
        if (p != before[t.model.params.offsets[n] :][: p.size].reshape(p.shape)).any()
    }
    assert changed
    assert not any(".embeddings." in name for name in changed)


def test_the_saved_best_is_the_model(tmp_path):
    scores = iter([0.3, 0.9, 0.1, 0.2, 0.5])
    t = trainer(tmp_path, eval_every=2, keep_best="score", evaluate=lambda: {"score": next(scores)})
    t.train()
    best = BertForSequenceClassification.from_pretrained(tmp_path / "best", backend="numpy")
    assert (best.params.flat == t.model.params.flat).all()


def test_weights_of_a_model_with_two_losses():
    """The gradient is that of the weighted sum, against finite differences of the sums it returns."""
    model = BertForPreTraining(CONFIG, seed=1, dtype="float64", backend="numpy")
    batch = data().batch(np.arange(5))
    labels = np.where(np.arange(batch.num_tokens) % 3 == 0, batch.input_ids, -100)
    batch = batch.with_targets(labels=labels, next_sentence_label=np.array([0, 1, 1, 0, 1]))
    weights = {"masked_lm": 2.0, "next_sentence": 0.5}
    objective = ModelLoss(model, weights)
    assert set(objective.counts(batch)) == set(weights)
    totals = {"masked_lm": 11.0, "next_sentence": 7.0}
    grads = model.params.like()
    objective(model, batch, totals, None, grads)
    direction = np.random.default_rng(0).standard_normal(model.params.flat.shape)

    def value(step):
        model.params.flat[...] += step * direction
        sums = objective(model, batch, totals, None, model.params.like())
        model.params.flat[...] -= step * direction
        return sum(weights[name] * sums[name] / totals[name] for name in weights)

    numeric = (value(1e-6) - value(-1e-6)) / 2e-6
    assert grads.flat @ direction == pytest.approx(numeric, rel=1e-7)

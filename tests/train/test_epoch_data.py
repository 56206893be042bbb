"""Data that differs from epoch to epoch: each epoch meets its own, also after a stop."""

import signal

import numpy as np
import pytest
from train_toy import SETTINGS, ToyObjective, digest, toy_data, toy_trainer

from minidistil.train.objective import data_of_epoch

BATCHES_AN_EPOCH = 7  # 26 examples in fours


class Shifting:
    """In epoch e every token is e further on in the vocabulary."""

    def __init__(self, data, epoch=0, seen=None):
        self.data, self.epoch, self.seen = data, epoch, [] if seen is None else seen

    lengths = property(lambda self: self.data.lengths)

    def __len__(self):
        return len(self.data)

    def content_hash(self):
        return self.data.content_hash()

    def for_epoch(self, epoch):
        return Shifting(self.data, epoch, self.seen)

    def batch(self, indices):
        batch = self.data.batch(indices)
        self.seen.append(self.epoch)
        batch.input_ids[:] = (batch.input_ids + self.epoch) % 30
        return batch


class Interrupting(ToyObjective):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def __call__(self, *args):
        self.n -= 1
        if self.n == 0:
            signal.raise_signal(signal.SIGINT)
        return super().__call__(*args)


Interrupting.__name__ = "ToyObjective"


def test_each_epoch_has_its_own(tmp_path):
    data = Shifting(toy_data())
    trainer = toy_trainer(data=data)
    trainer.train()
    assert data.seen == [0] * BATCHES_AN_EPOCH + [1] * BATCHES_AN_EPOCH
    plain = toy_trainer()
    plain.train()
    assert digest(plain) != digest(trainer)


@pytest.mark.parametrize("stop", [2, BATCHES_AN_EPOCH, BATCHES_AN_EPOCH + 1, 2 * BATCHES_AN_EPOCH - 1])
def test_a_resumed_run_meets_the_epoch_it_left(tmp_path, stop):
    undisturbed = toy_trainer(tmp_path / "a", data=Shifting(toy_data()))
    undisturbed.train()
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path / "b", data=Shifting(toy_data()), objective=Interrupting(stop)).train()
    resumed = toy_trainer(tmp_path / "b", data=Shifting(toy_data()))
    resumed.train()
    assert digest(resumed) == digest(undisturbed)


def test_data_without_epochs_is_itself():
    data = toy_data()
    assert data_of_epoch(data, 3) is data
    assert SETTINGS.epochs == 2
    assert np.array_equal(data_of_epoch(Shifting(data), 1).lengths, data.lengths)

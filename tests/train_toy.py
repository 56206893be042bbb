"""A model of a few hundred parameters, with all that the trainer can trip over: every role, a frozen
parameter, dropout, two terms with uneven counts. Also a program, so that tests can kill it."""

import hashlib
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import minidistil.ops as ops
from minidistil.errors import MinidistilError
from minidistil.losses import cross_entropy
from minidistil.ops.philox import normal
from minidistil.parameters import Parameters, ParameterSpec
from minidistil.text.dataset import Dataset
from minidistil.train.log import WALL_FIELDS
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.safetensors_file import write_safetensors

V, H, C = 30, 8, 3
SETTINGS = TrainSettings(
    epochs=2, batch_size=4, accumulation=3, lr=0.05, warmup=2, eval_every=2, save_every=2, log_every=1
)


class ToyConfig:
    def __init__(self, **values):
        self.values = values

    def to_dict(self):
        return {"kind": "toy", **self.values}


class ToyModel:
    """logits = W (g * mean of the tokens' embeddings) + b."""

    def __init__(self, dtype="float32", backend=ops):
        specs = [
            ParameterSpec("embeddings", (V, H), "embedding"),
            ParameterSpec("gain", (H,), "norm"),
            ParameterSpec("still", (5,), "weight"),
            ParameterSpec("weight", (C, H), "weight"),
            ParameterSpec("bias", (C,), "bias"),
        ]
        self.config = ToyConfig()
        self.params, self.backend, self.frozen = Parameters(specs, dtype), backend, {"still"}
        for i, spec in enumerate(specs):
            self.params[spec.name][...] = normal(spec.shape, 7, i)

    def mark_trained(self):
        pass

    def save_pretrained(self, path):
        write_safetensors(path / "model.safetensors", self.params)


class ToyObjective:
    """Cross-entropy of each labelled sequence, and the square of each token's embedding."""

    def __init__(self, pause=0.0):
        self.pause, self.started = pause, False

    weights = {"classes": 1.0, "size": 0.25}  # noqa: RUF012

    def counts(self, batch):
        return {"classes": int((batch.targets["labels"] >= 0).sum()), "size": batch.num_tokens}

    def __call__(self, model, batch, totals, dropout, grads):
        if self.pause and not self.started:
            print("training", flush=True)
            self.started = True
        time.sleep(self.pause)
        p, rows = model.params, batch.sequence_ids
        x = p["embeddings"][batch.input_ids]  # [T, H]
        mask = dropout and dropout.mask(0.2, 0, 0, batch.example_ids[rows], batch.columns)
        dropped, cache = ops.dropout_forward(x, mask)
        share = (1 / batch.lengths[rows]).astype(x.dtype)[:, None]
        mean = np.zeros((batch.num_sequences, H), x.dtype)
        np.add.at(mean, rows, dropped * share)
        z = mean * p["gain"]
        loss = cross_entropy(z @ p["weight"].T + p["bias"], batch.targets["labels"])
        dlogits = loss.grad * (1 / totals["classes"])
        grads["weight"][...] += dlogits.T @ z
        grads["bias"][...] += dlogits.sum(0)
        dz = dlogits @ p["weight"]
        grads["gain"][...] += (dz * mean).sum(0)
        dx = ops.dropout_backward((dz * p["gain"])[rows] * share, cache)
        dx += 2 * 0.25 / totals["size"] * x
        np.add.at(grads["embeddings"], batch.input_ids, dx)
        grads["still"][...] += 1
        return {"classes": loss.sum, "size": float((x * x).sum(dtype=np.float64))}


def toy_data(n=26, seed=3):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, n)
    ids = rng.integers(0, V, lengths.sum()).astype(np.int32)
    labels = rng.integers(0, C, n)
    labels[rng.random(n) < 0.4] = -100
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Dataset(ids, np.zeros_like(ids), offsets, np.arange(n), {"labels": labels})


def toy_trainer(out=None, settings=SETTINGS, *, model=None, objective=None, data=None, evaluate=True, **kw):
    model = model or ToyModel()

    def metrics():
        return {"size": float(np.square(model.params.flat).sum(dtype=np.float64))}

    return Trainer(
        model,
        objective or ToyObjective(),
        toy_data() if data is None else data,
        settings=settings,
        out=out,
        evaluate=metrics if evaluate is True else evaluate,
        quiet=True,
        **kw,
    )


def digest(trainer):
    """SHA-256 of parameters and both moments."""
    arrays = (trainer.model.params.flat, trainer.optimizer.m.flat, trainer.optimizer.v.flat)
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def without_wall_time(records):
    return [{k: v for k, v in record.items() if k not in WALL_FIELDS} for record in records]


def die_at_fsync(n):
    """kill -9 in the n-th call of fsync: within the writing of a checkpoint, wherever that is."""
    left, fsync = [n], os.fsync

    def counted(descriptor):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.fsync = counted


def main(out, fsyncs=None):
    if fsyncs:
        die_at_fsync(int(fsyncs))
    settings = replace(SETTINGS, save_every=1)
    trainer = toy_trainer(Path(out), settings, objective=ToyObjective(pause=0.0 if fsyncs else 0.02))
    try:
        result = trainer.train()
    except KeyboardInterrupt as error:
        print(error, file=sys.stderr)
        return 130
    except MinidistilError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps({"digest": digest(trainer), "steps": result.steps}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Predicted memory against measured memory, and the refusal of what cannot fit."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minidistil import BertConfig, DistilBertConfig, memory
from minidistil.batch import Batch
from minidistil.cli.main import main
from minidistil.errors import MemoryLimitError
from minidistil.kernels.linear_cross_entropy import CHUNK as KERNEL_CHUNK
from minidistil.model import MODELS
from minidistil.ops.dropout import Dropout
from minidistil.ops.philox import random_order
from minidistil.text.dataset import Dataset
from minidistil.train.memory_plan import CHUNK, MemoryPlan, plan_prediction, plan_training
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer

SIZES = {"vocab_size": 20_000, "hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
TINY = {"vocab_size": 30, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
LENGTH = 128

# Each in a process of its own, since a peak never goes down: how much memory it says, and how much it took.
MEASURE = """
import sys
import numpy as np
sys.path.insert(0, {here!r})
from test_memory_plan import LENGTH, build, plan
from minidistil.distill.objective import Distillation
from minidistil.memory import peak_memory
from minidistil.ops.dropout import Dropout
from minidistil.batch import Batch
from minidistil.train.objective import ModelLoss
from minidistil.train.optimizer import AdamW

case, sequences = sys.argv[1], int(sys.argv[2])
model, teacher = build(case)
rng = np.random.default_rng(0)
ids = list(rng.integers(0, model.config.vocab_size, (sequences, LENGTH)))
labels = np.concatenate(ids) if case == "distil" else rng.integers(0, 2, sequences)
batch = Batch.from_sequences(ids, targets={{"labels": labels}})
if case == "predict":
    model.eval()
    for _ in range(2):
        model.forward(batch, keep_cache=False)
else:
    objective = ModelLoss(model)
    if teacher is not None:
        objective = Distillation(model, {{"soft": 5.0, "hard": 2.0, "cosine": 1.0}}, teacher=teacher)
    optimizer, grads = AdamW(model.params, model.backend, lr=1e-4), model.params.like()
    for step in range(2):
        grads.flat.fill(0)
        counts = {{term: float(n) for term, n in objective.counts(batch).items()}}
        objective(model, batch, counts, Dropout(0, step), grads)
        optimizer.step(grads, scale=1.0 / (1 + optimizer.global_norm(grads)))
print(plan(case, sequences * LENGTH).total, peak_memory())
"""


def kinds(case):
    """Class and config of the model, and of its teacher."""
    if case == "distil":
        student = DistilBertConfig(**SIZES, num_hidden_layers=2)
        teacher = BertConfig(**SIZES, num_hidden_layers=4)
        return (MODELS["DistilBertForMaskedLM"], student), (MODELS["BertForMaskedLM"], teacher)
    return (MODELS["BertForSequenceClassification"], BertConfig(**SIZES, num_hidden_layers=6)), None


def build(case):
    (student, config), teacher = kinds(case)
    return student(config), None if teacher is None else teacher[0](teacher[1])


def plan(case, tokens):
    model, teacher = kinds(case)
    return (
        plan_prediction(*model, tokens)
        if case == "predict"
        else plan_training(*model, tokens, teacher=teacher)
    )


@pytest.mark.skipif(memory.peak_memory() is None, reason="the system does not say")
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="the textbook keeps more, and is slow")
@pytest.mark.parametrize(
    ("case", "sequences"), [("finetune", 8), ("finetune", 64), ("distil", 8), ("distil", 48), ("predict", 96)]
)
def test_within_ten_per_cent(case, sequences):
    code = MEASURE.format(here=os.path.dirname(__file__))
    command = [sys.executable, "-c", code, case, str(sequences)]
    for _ in range(2):  # the first may have to compile kernels, which takes memory too
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        planned, measured = map(int, done.stdout.split())
        if abs(planned - measured) <= 0.1 * measured:
            return
    pytest.fail(f"planned {planned / 1e6:.0f} MB, but it took {measured / 1e6:.0f} MB")


def cached(thing, found):
    """All arrays of numbers that a cache refers to, views by what they are views of."""
    if isinstance(thing, np.ndarray):
        while isinstance(thing.base, np.ndarray):
            thing = thing.base
    if id(thing) in found:
        return found
    found[id(thing)] = thing
    if isinstance(thing, tuple | list):
        parts = thing
    elif isinstance(thing, dict):
        parts = thing.values()
    else:
        parts = vars(thing).values() if type(thing).__module__.startswith("minidistil.") else ()
    for part in parts:
        cached(part, found)
    return found


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="the kernels' caches are counted")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "DistilBertForSequenceClassification"])
def test_what_the_way_back_needs_is_counted_to_the_last_number(name, dtype):
    model_class = MODELS[name]
    config = model_class.config_class(
        vocab_size=30, hidden_size=48, intermediate_size=64, num_attention_heads=6, num_hidden_layers=3
    )
    model = model_class(config, dtype=dtype)
    batch = Batch.from_sequences([np.arange(n) for n in (23, 30)], targets={"labels": np.zeros(2, int)})
    everything = cached(model.forward(batch, dropout=Dropout(0, 0)), {}).values()
    rows = [x for x in everything if isinstance(x, np.ndarray) and x.dtype == dtype and 53 in x.shape]
    planned = plan_training(model_class, config, 53, itemsize=model.params.dtype.itemsize)
    assert sum(x.nbytes for x in rows) == planned.kept


def test_logits_come_in_the_chunks_that_the_kernels_take():
    assert CHUNK == KERNEL_CHUNK


def test_more_than_there_is_is_refused_with_advice():
    small = MemoryPlan(10_000_000, kept=900_000_000, runtime=0)
    small.check(910_000_000)
    with pytest.raises(MemoryLimitError, match=r"910 MB of memory, 900 of them for a batch.*smaller batches"):
        small.check(909_999_999)
    with pytest.raises(MemoryLimitError, match="smaller model"):
        MemoryPlan(900_000_000, runtime=0).check(800_000_000)


def test_a_trainer_refuses_before_it_allocates(monkeypatch):
    model = MODELS["BertForSequenceClassification"](BertConfig(**TINY, num_hidden_layers=1))
    order = np.asarray(random_order(40, 0), np.int32) % 30
    data = Dataset(
        order, np.zeros(40, np.int32), np.arange(0, 41, 4), np.arange(10), {"labels": np.zeros(10, int)}
    )
    settings = TrainSettings(epochs=1, batch_size=2)
    Trainer(model, ModelLoss(model), data, settings=settings, quiet=True)
    monkeypatch.setattr("minidistil.train.memory_plan.available_memory", lambda: 100_000_000)
    monkeypatch.setattr("minidistil.parameters.Parameters.like", None)
    with pytest.raises(MemoryLimitError, match="available"):
        Trainer(model, ModelLoss(model), data, settings=settings, quiet=True)


@pytest.fixture
def directory(tmp_path):
    MODELS["BertForMaskedLM"](BertConfig(**TINY, num_hidden_layers=2)).save_pretrained(tmp_path)
    return str(tmp_path)


def test_the_command(directory, capsys, monkeypatch):
    assert (
        main(["plan", directory, "--batch-size", "4", "--length", "8", "--teacher", directory, "--json"]) == 0
    )
    said = json.loads(capsys.readouterr().out)
    parts = ("parameters", "gradients", "moments", "teacher", "kept", "buffers", "runtime")
    assert said["total"] == sum(said[part] for part in parts)
    assert said["moments"] == 2 * said["gradients"] == 2 * said["parameters"]
    assert main(["plan", directory, "--predict"]) == 0
    assert "gradients" not in capsys.readouterr().out
    monkeypatch.setattr("minidistil.memory.available_memory", lambda: 1_000_000)
    assert main(["plan", directory]) == 3
    assert "take a smaller model" in capsys.readouterr().err
    assert main(["plan", directory, "--length", "0"]) == 2
    capsys.readouterr()
    step = ["plan", "--teacher", directory, "--corpus", directory]
    for said, arguments in (
        ("a prediction has no --teacher", ["plan", directory, "--predict", "--teacher", directory]),
        ("is no DistilBertModel: its config is a BertConfig", ["plan", directory, "--as", "DistilBertModel"]),
        ("--length 4000: the model has", ["plan", directory, "--length", "4000"]),
        ("--as is for a step of one model", [*step, "--as", "BertModel"]),
        ("--batch-size is for a step of one model", [*step, "--batch-size", "8"]),
        ("--predict is for a step of one model", [*step, "--predict"]),
    ):
        assert main(arguments) == 2
        assert said in capsys.readouterr().err


def test_available_memory_minds_the_cgroup(monkeypatch, tmp_path):
    unlimited = memory.available_memory()
    if unlimited is None:
        pytest.skip("the system does not say")
    (tmp_path / "memory.max").write_text("500000000")
    (tmp_path / "memory.current").write_text("300000000")
    (tmp_path / "memory.stat").write_text("inactive_file 50000000")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    own = memory._field("/proc/self/status", "VmRSS")
    assert memory.available_memory() == pytest.approx(own + 250_000_000, abs=20_000_000)
    (tmp_path / "memory.max").write_text("max")
    assert memory.available_memory() == pytest.approx(unlimited, rel=0.1)

"""Time, memory and disk of a distillation, estimated from a few of its micro-batches."""

import json

import numpy as np
import pytest
from masked_text_toy import SMALL, sentences
from tiny import CONFIG, make_encoder

from minidistil.cli.main import main
from minidistil.distill.objective import Distillation
from minidistil.jobs import estimate
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.jobs.estimate import plan_distillation
from minidistil.model import BertForMaskedLM
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer
from minidistil.train.optimizer import AdamW


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("plan")
    tokenizer = Tokenizer.from_pretrained(make_encoder(here))
    BertForMaskedLM(CONFIG, seed=7).save_pretrained(here / "teacher", tokenizer=tokenizer)
    (here / "a.txt").write_text(sentences())
    return here


def test_a_plan_is_of_the_run_itself(place, tmp_path, capsys):
    teacher, text = str(place / "teacher"), str(place / "a.txt")
    changes = [x for change in (*SMALL, "train.epochs=40") for x in ("--set", change)]
    arguments = ["plan", "-q", "--teacher", teacher, "--corpus", text, *changes]
    assert main([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    recipe = load_recipe(DistillationRecipe, changes=SMALL)
    job = GeneralDistillation(teacher, [text], recipe, tmp_path / "run", quiet=True)
    assert plan["sequences"] == len(job.text.split.train)
    assert plan["steps"] == 40 * -(-plan["sequences"] // 16)
    assert plan["tokens"] == pytest.approx(job.text.corpus.num_tokens, rel=0.01)
    assert plan["training"] == pytest.approx(plan["steps"] * plan["seconds_per_step"])
    assert plan["memory"]["total"] > 0
    parameters = job.first_model().params.nbytes
    assert plan["disk"] > 10 * parameters
    timed = plan["timed"]
    assert (timed["micro_batches"], timed["sequences"], timed["text_bytes"]) == (3, 8, len(sentences()))
    assert timed["of_micro_batches"] == plan["steps"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "steps   " in out
    assert f"timed   3 of {plan['steps']:,} micro-batches ({timed['tokens']:,} tokens), an update" in out
    for bad in (
        ["plan"],
        ["plan", teacher, "--corpus", text],
        ["plan", "--corpus", text],
        ["plan", teacher, "--set", "a.b=1"],
    ):
        assert main(bad) == 2


class Clock:
    """A clock that only work moves: a second for each token of a micro-batch, a hundred for an update."""

    def __init__(self, monkeypatch):
        self.now, self.micro_batches, self.updates = 0.0, [], 0
        run, step = Distillation.__call__, AdamW.step

        def one(objective, model, batch, *rest):
            self.micro_batches.append(batch.num_tokens)
            self.now += batch.num_tokens
            return run(objective, model, batch, *rest)

        def update(optimizer, grads, **options):
            self.updates += 1
            self.now += 100
            return step(optimizer, grads, **options)

        monkeypatch.setattr(Distillation, "__call__", one)
        monkeypatch.setattr(AdamW, "step", update)
        monkeypatch.setattr(estimate.time, "perf_counter", lambda: self.now)


@pytest.mark.parametrize(
    "changes", [[], ["train.accumulation=4", "train.epochs=2"], ["train.max_steps=7", "train.accumulation=2"]]
)
def test_a_plan_runs_little_and_tells_much(place, monkeypatch, changes):
    recipe = load_recipe(DistillationRecipe, changes=[*SMALL, *changes])
    clock = Clock(monkeypatch)
    plan = plan_distillation(str(place / "teacher"), [place / "a.txt"], recipe, quiet=True)
    shortest, *some = clock.micro_batches
    assert len(some) == 3
    assert shortest <= min(some) / 8, "the one that warms up is a single sequence"
    assert sum(some) == plan.timed.tokens
    assert clock.updates == 2
    text = GeneralDistillation(
        str(place / "teacher"), [place / "a.txt"], recipe, place / f"run{len(changes)}{changes}", quiet=True
    ).text
    tokens, count, t = text.split.train.num_tokens, len(text.split.train), recipe.train
    micro = -(-count // t.batch_size)
    steps = t.max_steps or t.epochs * -(-micro // t.accumulation)
    passes = t.max_steps * t.accumulation / micro if t.max_steps else t.epochs
    assert plan.steps == steps
    assert plan.training == pytest.approx(passes * tokens + 100 * steps)
    assert plan.timed.of_micro_batches == passes * micro


def test_a_teacher_whose_outputs_are_kept(place, monkeypatch):
    recipe = load_recipe(DistillationRecipe, changes=[*SMALL, "masking.fixed=true", "objective.keep=all"])
    asked = []
    forward = BertForMaskedLM.forward
    monkeypatch.setattr(
        BertForMaskedLM,
        "forward",
        lambda model, batch, **options: asked.append(batch.num_tokens) or forward(model, batch, **options),
    )
    plan = plan_distillation(str(place / "teacher"), [place / "a.txt"], recipe, quiet=True)
    assert sum(asked) < 12 * plan.timed.tokens, "and not the whole text"
    few = plan_distillation(
        str(place / "teacher"), [place / "a.txt"], load_recipe(DistillationRecipe, changes=SMALL), quiet=True
    )
    hidden = 24 * 4 * 7  # bytes of a token at least: width, float32, layers
    assert plan.disk - few.disk > plan.tokens * hidden / 8
    assert few.teacher == 0.0


def test_parts_are_spread_from_short_to_long():
    sizes = np.array([5, 1, 9, 3, 7, 2])
    assert sizes[estimate._spread(sizes, 3)].tolist() == [2, 5, 9]
    assert sizes[estimate._spread(sizes, 99)].tolist() == [1, 2, 3, 5, 7, 9]

"""Time, memory and disk of a distillation, estimated from a few of its steps."""

import json

import pytest
from masked_text_toy import SMALL, sentences
from tiny import CONFIG, make_encoder

from minidistil.cli.main import main
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.model import BertForMaskedLM
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer


def test_a_plan_is_of_the_run_itself(tmp_path, capsys):
    tokenizer = Tokenizer.from_pretrained(make_encoder(tmp_path))
    BertForMaskedLM(CONFIG, seed=7).save_pretrained(tmp_path / "teacher", tokenizer=tokenizer)
    (tmp_path / "a.txt").write_text(sentences())
    teacher, text = str(tmp_path / "teacher"), str(tmp_path / "a.txt")
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
    assert main(arguments) == 0
    assert "steps   " in capsys.readouterr().out
    for bad in (
        ["plan"],
        ["plan", teacher, "--corpus", text],
        ["plan", "--corpus", text],
        ["plan", teacher, "--set", "a.b=1"],
    ):
        assert main(bad) == 2

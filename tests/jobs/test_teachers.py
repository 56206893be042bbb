"""Teachers as people have them: another tokenizer, no problem_type, fewer positions."""

import json
import shutil

import numpy as np
import pytest
from interruption import stop_after
from tiny import CONFIG, SPECIAL, VOCABULARY

from minidistil.cli.main import main
from minidistil.errors import ConfigError, InputError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.model import BertForMaskedLM, BertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer

GOOD, BAD = ["warm", "funny"], ["dull", "grim"]
FAST = ["train.epochs=6", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16"]


def encoder(place, words, kind=BertModel, **config):
    (place / "vocabulary").mkdir(parents=True)
    (place / "vocabulary" / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = Tokenizer.from_pretrained(place / "vocabulary")
    shape = {"vocab_size": len(words), "num_hidden_layers": 2, **config}
    kind(CONFIG.replace(**shape), seed=7).save_pretrained(place / "m", tokenizer=tokenizer)
    return str(place / "m")


def table(path, label, n=96):
    rows = ["text\tlabel"]
    rows += [f"the film is {(GOOD if i % 2 else BAD)[i // 2 % 2]}\t{label(i)}" for i in range(n)]
    path.write_text("\n".join(rows) + "\n")
    return path


def tune(source, task, file, out, *changes, teacher=None):
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
    return FineTuning(source, task, file, recipe, out, evaluate=file, teacher=teacher, quiet=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("teachers")
    table(here / "classes.tsv", lambda i: ("no", "yes")[i % 2])
    table(here / "numbers.tsv", lambda i: 3 * (i % 2) + 1)
    words = VOCABULARY[len(SPECIAL) :]
    shuffled = [*SPECIAL, *(words[int(i)] for i in random_order(len(words), 3))]
    encoder(here / "a", VOCABULARY)
    encoder(here / "b", shuffled)
    encoder(here / "lm-a", VOCABULARY, BertForMaskedLM)
    encoder(here / "lm-b", shuffled, BertForMaskedLM)
    tune(str(here / "a/m"), "classification", here / "classes.tsv", here / "teacher").run()
    return here


def test_a_teacher_reads_by_its_own_tokenizer(place, tmp_path, monkeypatch):
    changes = ["teaching.terms={soft = 1.0, hard = 0.0}"]
    arguments = (str(place / "b/m"), "classification", place / "classes.tsv")
    run = tune(*arguments, tmp_path / "s", *changes, teacher=str(place / "teacher"))
    models = run.run()["models"]
    assert models["teacher"]["accuracy"] == models["student"]["accuracy"] == 1.0
    stop_after(20, tune(*arguments, tmp_path / "t", *changes, teacher=str(place / "teacher")), monkeypatch)
    again = tune(*arguments, tmp_path / "t", *changes, teacher=str(place / "teacher")).run()["models"]
    assert again["teacher"]["accuracy"] == 1.0
    one, other = (load_model(tmp_path / name).params.flat for name in ("s", "t"))
    np.testing.assert_array_equal(one, other)


def test_intents_out_of_scope_have_no_soft_labels_beside_hard_ones(place, tmp_path):
    rows = table(tmp_path / "a.tsv", lambda i: ("no", "yes", "oos")[i % 3])
    tune(str(place / "a/m"), "intents", rows, tmp_path / "t").run()
    run = tune(str(place / "b/m"), "intents", rows, tmp_path / "s", teacher=str(tmp_path / "t"))
    run.run()
    assert len(run.dataset) == 64
    assert len(run.examples) == 96


@pytest.mark.parametrize(
    ("student", "teacher", "task", "terms"),
    [
        ("lm-b", "lm-a/m", "masked-lm", "{soft = 1.0}"),
        ("b", "teacher", "classification", "{soft = 1.0, cosine = 1.0}"),
    ],
)
def test_what_is_said_of_tokens_needs_one_vocabulary(place, tmp_path, student, teacher, task, terms):
    run = tune(
        str(place / student / "m"), task, place / "classes.tsv", tmp_path / "s", f"teaching.terms={terms}",
        teacher=str(place / teacher),
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"has another vocabulary than .*: token 5 is 'warm' there"):
        run.run()
    assert not (tmp_path / "s").exists()


def test_explain_compares_vocabularies(place, capsys):
    arguments = ["explain", str(place / "lm-a/m"), str(place / "lm-b/m"), "--text", "the film is warm"]
    assert main(arguments) == 3
    assert "has another vocabulary than" in capsys.readouterr().err


def test_a_tokenizer_that_is_written_otherwise_is_the_same(place, tmp_path):
    shutil.copytree(place / "teacher", tmp_path / "t")
    tokenizer = json.loads((tmp_path / "t" / "tokenizer.json").read_text())
    tokenizer["truncation"] = {
        "direction": "Right", "max_length": 64, "strategy": "LongestFirst", "stride": 0
    }  # fmt: skip
    (tmp_path / "t" / "tokenizer.json").write_text(json.dumps(tokenizer))
    run = tune(
        str(place / "a/m"), "classification", place / "classes.tsv", tmp_path / "s", "train.max_steps=1",
        "teaching.terms={soft = 1.0, cosine = 1.0}", teacher=str(tmp_path / "t"),
    )  # fmt: skip
    assert run.run()["models"]["teacher"]["accuracy"] == 1.0


def test_a_regression_without_problem_type_teaches_by_its_scores(place, tmp_path):
    tune(str(place / "a/m"), "regression", place / "numbers.tsv", tmp_path / "t").run()
    forget_problem_type(tmp_path / "t")
    run = tune(
        str(place / "a/m"), "regression", place / "numbers.tsv", tmp_path / "s", teacher=str(tmp_path / "t")
    )
    run.run()
    assert {"logits", "hard"} <= first_record(tmp_path / "s").keys()
    assert load_model(tmp_path / "s").config.problem_type == "regression"


def test_several_labels_without_problem_type_are_no_classes(place, tmp_path):
    table(tmp_path / "sets.tsv", lambda i: ("bad", "good,long")[i % 2])
    tune(str(place / "a/m"), "multi-label", tmp_path / "sets.tsv", tmp_path / "t").run()
    reports = []
    for name in ("s", "s0"):
        run = tune(
            str(place / "a/m"), "multi-label", tmp_path / "sets.tsv", tmp_path / name,
            teacher=str(tmp_path / "t"),
        )  # fmt: skip
        reports.append(run.run()["models"]["student"])
        forget_problem_type(tmp_path / "t")
    assert reports[0]["auroc_macro"] == reports[1]["auroc_macro"]
    assert first_record(tmp_path / "s")["soft"] == first_record(tmp_path / "s0")["soft"], "no softmax of all"
    assert load_model(tmp_path / "s0").config.problem_type == "multi_label_classification"


def test_tags_are_learnt_of_the_first_piece_of_a_word_or_of_all(place, tmp_path):
    (tmp_path / "tags.txt").write_text("the O\nwarmly B-FUN\nfilm O\n\nfunny B-FUN\nfilm O\n" * 30)
    taught = {"model.layers": "first:1"}
    file = tmp_path / "tags.txt"
    tune(str(place / "a/m"), "ner", file, tmp_path / "t").run()
    losses = {}
    for pieces in ("first", "all", None):
        changes = [*(f"{k}={v}" for k, v in taught.items()), "teaching.terms.hard=0"]
        changes += [f"teaching.pieces={pieces}"] if pieces else []
        out = tmp_path / f"s-{pieces}"
        tune(str(tmp_path / "t"), "ner", file, out, *changes, teacher=str(tmp_path / "t")).run()
        losses[pieces] = first_record(out)["soft"]
    assert losses["first"] == losses[None] != losses["all"]


def forget_problem_type(directory):
    config = json.loads((directory / "config.json").read_text())
    config.pop("problem_type", None)
    (directory / "config.json").write_text(json.dumps(config))


def first_record(directory):
    return json.loads((directory / "metrics.jsonl").read_text().splitlines()[0])


def test_a_teacher_with_fewer_positions_is_named_at_once(place, tmp_path):
    short = encoder(tmp_path / "short", VOCABULARY, BertForMaskedLM, max_position_embeddings=5)
    run = tune(str(place / "lm-a/m"), "masked-lm", place / "classes.tsv", tmp_path / "s", teacher=short)
    with pytest.raises(InputError, match=r"the teacher .*short/m takes 5 tokens, .* up to 6: .*max_length=5"):
        run.run()
    assert not (tmp_path / "s").exists()

"""A student of several teachers: whose scores it learns, what is refused, what the report says."""

import json

import numpy as np
import pytest
from interruption import stop_after
from tiny import CONFIG, SPECIAL, VOCABULARY

from minidistil.cli.main import main
from minidistil.errors import ConfigError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.jobs.results import table
from minidistil.model import BertForMaskedLM, BertModel, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.text.tokenizer import Tokenizer

WORDS = {"yes": ("warm", "funny"), "no": ("dull", "grim")}
FAST = ["train.epochs=3", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16"]
ANSWERS = {"text": ["film"], "answer_start": [4]}
SHORT = ["train.epochs=1", "model.layers=first:1"]


def encoder(place, words, kind=BertModel):
    (place / "vocabulary").mkdir(parents=True)
    (place / "vocabulary" / "vocab.txt").write_text("\n".join(words) + "\n")
    config = CONFIG.replace(vocab_size=len(words), num_hidden_layers=2)
    tokenizer = Tokenizer.from_pretrained(place / "vocabulary")
    kind(config, seed=7).save_pretrained(place / "m", tokenizer=tokenizer)


def tune(place, out, *changes, source="a", task="classification", train="classes.tsv", teacher=None):
    labelled = [] if teacher is None else ["teaching.augment=0"]
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *labelled, *changes])
    return FineTuning(
        str(place / source / "m"), task, place / train, recipe, out,
        evaluate=place / train, teacher=teacher, quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("teachers")
    rows = [f"the film is {WORDS[label][i % 2]}\t{label}" for i in range(32) for label in WORDS]
    for name, value in (("classes", None), ("numbers", {"yes": "4", "no": "1"})):
        lines = (
            rows if value is None else [f"{r.split(chr(9))[0]}\t{value[r.split(chr(9))[1]]}" for r in rows]
        )
        (here / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    words = VOCABULARY[len(SPECIAL) :]
    encoder(here / "a", VOCABULARY)
    encoder(here / "b", [*SPECIAL, *(words[int(i)] for i in random_order(len(words), 3))])
    encoder(here / "lm", VOCABULARY, BertForMaskedLM)
    for seed in range(2):
        tune(here, here / "runs" / f"seed-{seed}", f"train.seed={seed}").run()
    tune(here, here / "other-vocabulary", source="b").run()
    swapped = load_model(here / "runs" / "seed-1").train()
    for name in ("classifier.weight", "classifier.bias"):
        swapped.params[name][:] = swapped.params[name][::-1].copy()
    swapped.config = swapped.config.replace(id2label={0: "yes", 1: "no"})
    swapped.save_pretrained(here / "swapped", tokenizer=Tokenizer.from_pretrained(here / "a" / "m"))
    return here


def paths(place, *names):
    return [str(place / name) for name in names]


@pytest.fixture(scope="module")
def seeds(place):
    return paths(place, "runs/seed-0", "runs/seed-1")


@pytest.fixture(scope="module")
def taught(place, seeds):
    """By the command line, as a shell passes on runs/seed-*."""
    arguments = [
        "finetune",
        "-q",
        str(place / "a" / "m"),
        "--task",
        "classification",
        "--out",
        str(place / "s"),
    ]
    arguments += ["--train", str(place / "classes.tsv"), "--eval", str(place / "classes.tsv")]
    changes = [x for change in [*FAST, *SHORT, "teaching.augment=0"] for x in ("--set", change)]
    assert main([*arguments, "--distill-from", *seeds, *changes]) == 0
    return json.loads((place / "s" / "report.json").read_text())


def flat(out):
    return load_model(out).params.flat


def test_report_and_card_name_them_all(place, taught, capsys):
    assert list(taught["teachers"]) == ["seed-0", "seed-1"]
    each = list(taught["teachers"].values())
    for metric in ("accuracy", "calibration_error"):
        mean = np.mean([facts[metric] for facts in each])
        assert taught["models"]["teacher"][metric] == pytest.approx(mean)
    assert taught["models"]["teacher"]["parameters"] == each[0]["parameters"]
    assert list(taught["models"]) == ["teacher", "student"]
    shown = table(taught)
    assert "Mean of 2 teachers: seed-0, seed-1." in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    card = (place / "s" / "README.md").read_text()
    assert "taught by seed-0 and seed-1" in card
    assert f"--distill-from {place / 'runs' / 'seed-0'} {place / 'runs' / 'seed-1'}" in card
    assert main(["report", str(place / "s"), "--out", str(place / "page.html")]) == 0


def test_they_run_once_and_the_student_learns_their_mean(place, taught, seeds, tmp_path, monkeypatch):
    run, calls = tune(place, tmp_path / "s", *SHORT, teacher=seeds), []
    teachers = [one.teacher for one in run.teaching.each]
    for teacher in teachers:
        forward = teacher.forward
        monkeypatch.setattr(
            teacher, "forward", lambda *a, _f=forward, **k: calls.append(a[0].num_sequences) or _f(*a, **k)
        )
    run.check()
    trainer = run.trainer(run.first_model(), out=tmp_path / "work", quiet=True)
    assert sum(calls) == 2 * 64
    mean, batch = trainer.objective.teacher_cache, run.dataset.batch(np.arange(8))
    outputs = mean(batch)["logits"]
    trainer.train()
    assert sum(calls) == 2 * 64
    each = [t.forward(batch, keep_cache=False)[0]["logits"] / 2 for t in teachers]
    p = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in each]
    found = np.exp(outputs / 2) / np.exp(outputs / 2).sum(1, keepdims=True)
    np.testing.assert_allclose(found, np.mean(p, axis=0), rtol=1e-5)
    np.testing.assert_array_equal(trainer.model.params.flat, flat(place / "s"))


def test_stopped_and_started_again(place, taught, seeds, tmp_path, monkeypatch):
    run = [place, tmp_path / "s", *SHORT, "train.save_every=2"]
    stop_after(5, tune(*run, teacher=seeds), monkeypatch)
    tune(*run, teacher=seeds).run()
    np.testing.assert_array_equal(flat(tmp_path / "s"), flat(place / "s"))
    with pytest.raises(ConfigError, match=r"holds another run \(teacher.2.weights is not the same\)"):
        tune(*run, teacher=[seeds[0], seeds[0]]).run()


def test_one_in_a_list_is_one(place, seeds, tmp_path):
    for name, teacher in (("s", seeds[0]), ("t", [seeds[0]])):
        tune(place, tmp_path / name, *SHORT, teacher=teacher).run()
    np.testing.assert_array_equal(flat(tmp_path / "s"), flat(tmp_path / "t"))
    about = [json.loads((tmp_path / name / "run.json").read_text()) for name in ("s", "t")]
    assert about[0]["teacher"] == about[1]["teacher"]
    assert about[0]["teacher"].keys() == {"weights", "config", "tokenizer"}


def test_labels_are_matched_by_name(place, taught, seeds, tmp_path):
    tune(place, tmp_path / "s", *SHORT, teacher=[seeds[0], str(place / "swapped")]).run()
    np.testing.assert_allclose(flat(tmp_path / "s"), flat(place / "s"), atol=1e-6)


def test_each_reads_by_its_own_tokenizer(place, seeds, tmp_path):
    teachers = [seeds[0], str(place / "other-vocabulary")]
    run = tune(place, tmp_path / "s", *SHORT, teacher=teachers)
    run.check()
    objective = run.trainer(run.first_model(), out=tmp_path / "work", quiet=True).objective
    rows = np.array([40, 3, 17])
    found = objective.teacher_cache(run.dataset.batch(rows))["logits"]
    each = []
    for one in run.teaching.each:
        data = run.task.dataset(one.tokenizer(run.tokenizer), run.examples, run.config)
        each.append(one.teacher.forward(data.batch(rows), keep_cache=False)[0]["logits"] / 2)
    p = [np.exp(z) / np.exp(z).sum(1, keepdims=True) for z in each]
    np.testing.assert_allclose(
        np.exp(found / 2) / np.exp(found / 2).sum(1, keepdims=True), np.mean(p, axis=0), rtol=1e-5
    )


def test_of_a_regression_it_is_the_mean_of_the_scores(place, tmp_path):
    about = {"task": "regression", "train": "numbers.tsv"}
    for seed in range(2):
        tune(place, tmp_path / f"seed-{seed}", f"train.seed={seed}", **about).run()
    teachers = [str(tmp_path / f"seed-{seed}") for seed in range(2)]
    run = tune(place, tmp_path / "s", *SHORT, teacher=teachers, **about)
    run.check()
    objective = run.trainer(run.first_model(), out=tmp_path / "work", quiet=True).objective
    assert objective.weights == {"logits": 0.5, "hard": 0.5}
    batch = run.dataset.batch(np.arange(4))
    each = [one.teacher.forward(batch, keep_cache=False)[0]["logits"] for one in run.teaching.each]
    np.testing.assert_allclose(objective.teacher_cache(batch)["logits"], np.mean(each, axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("task", "example"),
    [
        ("token-classification", {"tokens": ["the", "film", "is", None], "tags": ["O", "B-X", "O", "B-Y"]}),
        ("question-answering", {"context": "the film is", "question": "is a film", "answers": ANSWERS}),
        ("multiple-choice", {"question": "the film", "choices": ["is", "plot", "a"], "answer": 1}),
    ],
)
def test_scores_of_tokens_and_of_choices(place, tmp_path, task, example):
    """Two equal teachers are one, as the softmax sees them: over classes, tokens or choices."""
    words = [*WORDS["yes"], *WORDS["no"]]
    rows = [{**example, "tokens": [*example.get("tokens", [])[:3], words[i % 4]]} for i in range(16)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = {"task": task, "train": tmp_path / "train.jsonl"}
    tune(place, tmp_path / "t", *SHORT, **about).run()
    run = tune(place, tmp_path / "s", *SHORT, teacher=[str(tmp_path / "t")] * 2, **about)
    run.check()
    objective = run.trainer(run.first_model(), out=tmp_path / "work", quiet=True).objective
    batch, teacher = run.dataset.batch(np.arange(4)), run.teaching.each[1].teacher
    outputs, head = objective.teacher_cache(batch), teacher.heads[0]
    for name, theirs in teacher.forward(batch, keep_cache=False)[0].items():
        if name in head.score_outputs:
            pair = [np.exp(head.score_rows(z, batch) / 2) for z in (outputs[name], theirs)]
            one, other = (e / e.sum(1, keepdims=True) for e in pair)
            np.testing.assert_allclose(one, other, rtol=1e-5)
    assert set(outputs) == set(head.score_outputs) != set()


def test_two_stages_of_scores(place, seeds, tmp_path):
    """A stage of scores has several teachers too; its loss is that of the training."""
    changes = [*SHORT, "teaching.first.terms.logits=1", "teaching.first.patience=1"]
    assert tune(place, tmp_path / "s", *changes, teacher=seeds).run()["stages"] == {"first": 8, "second": 8}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("teaching.terms.hidden=1", "the term hidden compares the inside of one teacher, and there are 2"),
        ("teaching.first.terms.attention=1", "the term attention compares the inside of one teacher"),
        ("teaching.terms.logits=1", "the terms soft and logits average several teachers in two ways"),
    ],
)
def test_terms_that_need_one_teacher(place, seeds, tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        tune(place, tmp_path / "s", change, teacher=seeds).run()
    assert not (tmp_path / "s").exists()


def test_other_labels_name_the_teacher(place, seeds, tmp_path):
    other = load_model(seeds[0]).train()
    other.config = other.config.replace(id2label={0: "bad", 1: "good"})
    other.save_pretrained(tmp_path / "other", tokenizer=Tokenizer.from_pretrained(place / "a" / "m"))
    with pytest.raises(
        ConfigError,
        match=r"the labels of the teacher .*other are bad, good, those of the first, .*seed-0, no, yes",
    ):
        tune(place, tmp_path / "s", teacher=[seeds[0], str(tmp_path / "other")]).run()
    assert not (tmp_path / "s").exists()


def test_a_masked_lm_takes_one_teacher(place, tmp_path):
    teachers = paths(place, "lm/m", "lm/m")
    with pytest.raises(ConfigError, match="a masked LM's are too many to keep: give one teacher"):
        tune(place, tmp_path / "s", source="lm", task="masked-lm", teacher=teachers).run()


def test_glue_takes_one_teacher(place, tmp_path, capsys):
    arguments = ["finetune", "M", "--task", "glue", "--train", str(place), "--out", str(tmp_path / "g")]
    assert main([*arguments, "--distill-from", "A", "B"]) == 2
    assert "--task glue takes one teacher" in capsys.readouterr().err

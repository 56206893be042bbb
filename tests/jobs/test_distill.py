"""General distillation and pre-training on a folder of text: whole, killed and resumed, refused."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from masked_text_toy import PRETRAIN, SMALL, sentences
from tiny import BAD, GOOD, OTHER, make_encoder

from minidistil import threads
from minidistil.cli.main import main
from minidistil.errors import ConfigError, DataError, InputError
from minidistil.jobs.distill import DistillationRecipe, GeneralDistillation
from minidistil.jobs.masked_text import table
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.losses import cross_entropy
from minidistil.model import BertForMaskedLM, BertModel, DistilBertForMaskedLM, load_model
from minidistil.settings import load_recipe
from minidistil.tasks.masked_lm.task import evaluate_masked_lm

KILLS = int(os.environ.get("MINIDISTIL_KILLS", "3"))  # for a long test, more

DISTIL = [*SMALL, "student.freeze=['positions']", "train.epochs=2", "train.lr=2e-3", "train.save_every=3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("general")
    (here / "text").mkdir()
    (here / "text" / "a.txt").write_text(sentences())
    recipe = load_recipe(PretrainingRecipe, changes=PRETRAIN)
    report = Pretraining(None, [here / "text"], recipe, here / "teacher", quiet=True).run()
    (here / "pretrained.json").write_text(json.dumps(report))
    return here


def distil(place, out, *changes):
    recipe = load_recipe(
        DistillationRecipe, "distilbert", changes=["train.accumulation=1", *DISTIL, *changes]
    )
    return GeneralDistillation(str(place / "teacher" / "model"), [place / "text"], recipe, out, quiet=True)


@pytest.fixture(scope="module")
def student(place):
    report = distil(place, place / "student").run()
    return place / "student", report


def sha(out):
    return hashlib.sha256((out / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_pretraining_from_nothing_learns(place):
    facts = json.loads((place / "pretrained.json").read_text())["models"]["model"]
    words = len(GOOD) + len(BAD) + len(OTHER)
    assert facts["masked_lm"] < 0.6 * np.log(words), "better than guessing any word"
    assert facts["perplexity"] == pytest.approx(np.exp(facts["masked_lm"]))
    model = load_model(place / "teacher" / "model", strict=True)
    assert isinstance(model, BertForMaskedLM)
    assert (place / "teacher" / "tokenizer" / "vocab.txt").exists()


def test_what_a_distillation_leaves(place, student):
    out, report = student
    assert sorted(p.name for p in out.iterdir()) == [
        "corpus", "evaluation.json", "metrics.jsonl", "model", "recipe.toml", "report.json", "run.json",
        "teacher.json",
    ]  # fmt: skip
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(report))
    assert set(report["models"]) == {"teacher", "student"}
    model = load_model(out / "model", strict=True)
    assert isinstance(model, DistilBertForMaskedLM)
    assert model.config.num_hidden_layers == 1
    recipe = load_recipe(DistillationRecipe, file=out / "recipe.toml")
    assert recipe == distil(place, out).recipe
    made_with = json.loads((out / "run.json").read_text())["made_with"]
    assert made_with["numpy"] == np.__version__
    assert all(len(line) <= 80 for line in table(report).splitlines())
    kinds = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert {"soft", "hard", "cosine"} <= kinds[0].keys()
    assert {"masked_lm", "accuracy", "perplexity"} <= kinds[-1].keys()


def test_it_learns_and_positions_do_not(place, student):
    out, _ = student
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    losses = [r["soft"] for r in records if r["kind"] == "train"]
    assert losses[-1] < 0.8 * losses[0]
    model, teacher = load_model(out / "model"), load_model(place / "teacher" / "model")
    np.testing.assert_array_equal(
        model.params["distilbert.embeddings.position_embeddings.weight"],
        teacher.params["bert.embeddings.position_embeddings.weight"],
    )


def test_measuring_is_what_it_says(student, place):
    job = distil(place, place / "student")
    model, data = load_model(place / "student" / "model"), job.text.held_out
    total, right, count = 0.0, 0, 0
    for i in range(len(data)):
        batch = data.batch([i])
        logits = model.forward(batch)[0]["logits"]
        rows = batch.targets["labels"] != -100
        total += cross_entropy(logits, batch.targets["labels"]).sum
        right += (logits.argmax(1) == batch.targets["labels"])[rows].sum()
        count += rows.sum()
    measured = evaluate_masked_lm(model, data)
    assert measured["masked_lm"] == pytest.approx(total / count, rel=1e-5)
    assert measured["accuracy"] == right / count
    with pytest.raises(InputError, match="BertModel does not guess words"):
        evaluate_masked_lm(BertModel.from_pretrained(place / "teacher" / "model"), data)


def test_the_same_for_any_number_of_threads(student, place, tmp_path):
    before = threads.get_num_threads()
    try:
        for n in (1, 3):
            threads.set_num_threads(n)
            distil(place, tmp_path / str(n)).run()
            assert sha(tmp_path / str(n)) == sha(student[0])
    finally:
        threads.set_num_threads(before)


def test_accumulating_equals_a_bigger_batch(place, tmp_path):
    """With masks over each sequence: 4 x 4 is 1 x 16 up to rounding, 1e-6 of each tensor."""
    changes = ["masking.over=sequence", "train.lr=1e-3", "train.dropout=false", "train.eps=1e-4"]
    for batch, accumulation in ((16, 1), (4, 4)):
        sizes = [
            f"train.batch_size={batch}",
            f"train.accumulation={accumulation}",
            "train.group_by_length=false",
        ]
        distil(place, tmp_path / str(batch), *changes, *sizes).run()
    one, four = (load_model(tmp_path / size / "model").params for size in ("16", "4"))
    for name in one:
        if not name.endswith("k_lin.bias"):  # which a softmax ignores: its gradient is rounding alone
            difference = np.linalg.norm(one[name] - four[name])
            assert difference <= 1e-6 * np.linalg.norm(one[name]), (name, difference)


RUN = """
import sys
from minidistil.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_killed_anywhere_it_ends_the_same(student, place, tmp_path):
    """SIGKILL at moments spread over the run; in the end the same bits."""
    command = [sys.executable, "-c", RUN, "distill", "-q", "--teacher", str(place / "teacher" / "model")]
    command += ["--corpus", str(place / "text"), "--recipe", "distilbert"]
    for change in ("train.accumulation=1", *DISTIL):
        command += ["--set", change]
    began = time.monotonic()
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - began
    assert sha(tmp_path / "whole") == sha(student[0])
    out, rng, kills = tmp_path / "run", np.random.default_rng(0), 0
    command += ["--out", str(out)]
    for _ in range(20 * KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=whole * rng.uniform(0.2, 1))
            assert process.returncode == 0
            assert sha(out) == sha(student[0])
            shutil.rmtree(out)  # it was too quick for us: from the beginning
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        if kills == KILLS:
            break
    assert kills == KILLS
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert sha(out) == sha(student[0])


def limited(size):
    """For a child: no file may grow beyond `size` bytes, which is what a full disk looks like from inside."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_full_disk_costs_nothing_that_was_saved(student, place, tmp_path):
    command = [sys.executable, "-c", RUN, "distill", "-q", "--teacher", str(place / "teacher" / "model")]
    command += ["--corpus", str(place / "text"), "--recipe", "distilbert", "--out", str(tmp_path / "run")]
    for change in ("train.accumulation=1", *DISTIL):
        command += ["--set", change]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    work = tmp_path / "run" / "work"
    while process.poll() is None and not list(work.glob("checkpoint-*")):
        time.sleep(0.002)
    process.kill()
    process.wait()
    saved = sorted(work.glob("checkpoint-*"))
    if saved:  # else it was done before we looked
        before = {f: f.read_bytes() for f in saved[-1].iterdir()}
        size = max(len(content) for content in before.values())
        full = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited(size - 1))
        assert full.returncode == 3
        assert "the disk is full" in full.stderr
        assert {f: f.read_bytes() for f in saved[-1].iterdir()} == before
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert sha(tmp_path / "run") == sha(student[0])


def test_what_diverges_is_stopped_and_named(place, tmp_path, capsys):
    arguments = ["distill", "-q", "--teacher", str(place / "teacher" / "model")]
    arguments += ["--corpus", str(place / "text"), "--out", str(tmp_path / "run")]
    wild = [*DISTIL, "train.lr=1e30", "train.warmup=0", "train.clip=none"]
    assert main([*arguments, *(x for change in wild for x in ("--set", change))]) == 3
    message = capsys.readouterr().err
    assert re.search(r"step \d+ \(epoch 1, micro-batch \d+\): .* (parameter|gradient).*: \w*bert\.", message)
    assert not (tmp_path / "run" / "model").exists()


def test_fixed_masks_let_the_teacher_rest(place, tmp_path, monkeypatch):
    changes = ["masking.fixed=true", "train.max_steps=6", "train.eps=1e-4"]
    live = distil(place, tmp_path / "live", *changes)
    kept = distil(place, tmp_path / "kept", *changes, "objective.keep=all")
    half = ["objective.keep=all", "objective.keep_dtype=float16", "objective.top_k=20"]
    few = distil(place, tmp_path / "few", *changes, *half)
    for job in (live, kept, few):
        job.run()
    reference, same, near = (load_model(job.out / "model").params.flat for job in (live, kept, few))
    np.testing.assert_allclose(same, reference, atol=1e-5)
    np.testing.assert_allclose(near, reference, atol=0.05)
    assert not np.array_equal(near, same)
    with pytest.raises(ConfigError, match="only where masks are the same in every epoch"):
        distil(place, tmp_path / "new", "objective.keep=all").run()


def test_a_narrower_student_by_what_the_text_shows(place, tmp_path):
    job = distil(place, tmp_path / "a", "student.heads=1", "student.importance=data", "train.max_steps=1")
    student, other = job.first_model(), distil(place, tmp_path / "b", "student.heads=1").first_model()
    assert student.config.hidden_size == other.config.hidden_size == 12
    assert not np.array_equal(student.params.flat, other.params.flat)


@pytest.mark.parametrize("content", ["[]", "{", '{"layers": 6}', '{"layers": "x", "parameters": []}', None])
def test_a_damaged_measurement_is_made_again(student, place, tmp_path, content):
    shutil.copytree(place / "student", tmp_path / "run")
    path = tmp_path / "run" / "teacher.json"
    before = json.loads(path.read_text())
    path.unlink() if content is None else path.write_text(content)
    report = distil(place, tmp_path / "run").run()
    again = json.loads(path.read_text())
    assert {k: v for k, v in again.items() if "second" not in k} == {
        k: v for k, v in before.items() if "second" not in k
    }
    assert table(report)


def test_a_finished_run_is_not_run_again(student, place, monkeypatch):
    monkeypatch.setattr(GeneralDistillation, "first_model", None)
    again = distil(place, place / "student").run()["models"]
    for name, facts in student[1]["models"].items():
        changing = {"sequences_per_second": again[name]["sequences_per_second"]}
        assert again[name] == facts | changing


def test_what_is_refused(place, student, tmp_path):
    with pytest.raises(ConfigError, match=r"holds another run \(recipe.train.epochs is 2 there, 3 here\)"):
        distil(place, place / "student", "train.epochs=3").run()
    with pytest.raises(
        ConfigError, match=r"nothing to freeze: no parameter of DistilBertForMaskedLM matches 'x\*'"
    ):
        distil(place, tmp_path / "a", "student.freeze=['x*']").run()
    with pytest.raises(DataError, match="none gives 20 to 24 tokens"):
        distil(place, tmp_path / "b", "data.shortest=20").run()
    recipe = load_recipe(DistillationRecipe)
    encoder = make_encoder(tmp_path)
    with pytest.raises(InputError, match="BertModel does not guess words"):
        GeneralDistillation(str(encoder), [place / "text"], recipe, tmp_path / "c", quiet=True).run()
    assert not (tmp_path / "c").exists(), "what cannot work leaves nothing"
    shape = [change for change in PRETRAIN if not change.startswith("data.max_length")]
    long = load_recipe(PretrainingRecipe, changes=[*shape, "data.max_length=30"])
    with pytest.raises(ConfigError, match="max_length is 30, but the model has 24 positions"):
        Pretraining(None, [place / "text"], long, tmp_path / "d", quiet=True).run()


def test_what_would_keep_the_worst_is_refused(place, tmp_path):
    for metric in ("perplexity", "masked_lm"):
        with pytest.raises(ConfigError, match=f"less {metric} is better"):
            distil(place, tmp_path / "a", f"train.keep_best={metric}")
    distil(place, tmp_path / "a", "train.keep_best=perplexity", "train.best_is=min")


def test_more_tokens_than_the_teacher_has_positions(place, tmp_path):
    with pytest.raises(ConfigError, match="max_length is 30, but the model has 24 positions"):
        distil(place, tmp_path / "a", "data.max_length=30").run()
    assert not (tmp_path / "a").exists()


def test_a_mistake_can_be_corrected_until_something_was_learnt(place, tmp_path):
    out = tmp_path / "a"
    with pytest.raises(ConfigError, match="no term 'cosin'"):
        distil(place, out, "objective.terms.cosin=1").run()
    measured = json.loads((out / "teacher.json").read_text())
    distil(place, out, "train.max_steps=1", "data.measured=5").run()
    assert json.loads((out / "run.json").read_text())["recipe"]["data"]["measured"] == 5
    assert json.loads((out / "teacher.json").read_text()) != measured, "on fewer sequences"
    with pytest.raises(ConfigError, match="holds another run"):
        distil(place, out, "train.max_steps=2", "data.measured=5").run()


def test_text_can_be_corrected_until_some_was_encoded(place, tmp_path):
    text = tmp_path / "a.txt"
    text.write_bytes(sentences(50).encode() + b"\xff\n")
    recipe = load_recipe(DistillationRecipe, changes=[*DISTIL, "train.max_steps=1"])
    teacher, out = str(place / "teacher" / "model"), tmp_path / "run"
    with pytest.raises(DataError, match=r"a\.txt, line 51"):
        GeneralDistillation(teacher, [text], recipe, out, quiet=True).run()
    text.write_text(sentences(50))
    GeneralDistillation(teacher, [text], recipe, out, quiet=True).run()


def test_the_command_line(place, tmp_path, capsys):
    teacher, text = str(place / "teacher" / "model"), str(place / "text")
    arguments = ["distill", "-q", "--teacher", teacher, "--corpus", text, "--out", str(tmp_path / "s")]
    changes = [x for change in (*DISTIL, "train.max_steps=2") for x in ("--set", change)]
    assert main([*arguments, *changes, "--print-recipe"]) == 0
    assert 'freeze = ["positions"]' in capsys.readouterr().out
    assert not (tmp_path / "s").exists()
    assert main([*arguments, *changes, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["models"]) == {"teacher", "student"}
    assert main([*arguments, "--set", "train.lrr=1"]) == 3
    assert "did you mean train.lr?" in capsys.readouterr().err
    pretrain = [x for change in (*PRETRAIN, "train.max_steps=2") for x in ("--set", change)]
    assert main(["pretrain", "-q", "--corpus", text, "--out", str(tmp_path / "p"), *pretrain]) == 0
    assert "perplexity" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "p")

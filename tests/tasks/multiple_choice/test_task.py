"""Multiple choice from files: what they look like, learning, stopping, teaching, what is refused."""

import json

import numpy as np
import pytest
from interruption import stop_after
from tiny import BAD, CONFIG, GOOD, OTHER, make_classifier, make_encoder, make_tokenizer, predictor_of

from minidistil.cli.main import main
from minidistil.distill.objective import Distillation
from minidistil.distill.student import init_student
from minidistil.distill.teacher_cache import TeacherCache
from minidistil.distill.trainer import DistillationTrainer
from minidistil.errors import ConfigError, DataError, InputError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.losses import soft_label_kl
from minidistil.model import BertForMultipleChoice, DistilBertForMultipleChoice, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.data import DataSettings
from minidistil.tasks.multiple_choice.swag import read_choices
from minidistil.tasks.multiple_choice.task import MultipleChoiceTask, choice_probabilities
from minidistil.tasks.registry import named_task, pipeline
from minidistil.train.settings import TrainSettings

FAST = ["train.epochs=4", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16", "train.save_every=4"]
SWAG = (
    ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3,label\n"
    '0,anetv_x,1,"A film. The cast",A film.,The cast,gold,"is warm, and funny.",is dull.,is a.,is of.,0\n'
    "1,anetv_y,2,The plot. It,The plot.,It,gold,is a.,is the.,is of.,is grim.,3\n"
)


def example(i):
    """A context, and 2 to 4 choices, of which the one with a good word goes with it."""
    a, b, c, d, *_ = (int(x) for x in random_order(8, i))
    label, sizes = c % (2 + d % 3), 2 + d % 3
    choices = [f"and {BAD[(b + j) % 4]} {OTHER[(a + j) % 8]}" for j in range(sizes)]
    choices[label] = f"and {GOOD[b % 4]} {OTHER[a]}"
    return {"context": f"the film is {OTHER[b]}", "choices": choices, "label": label}


def write(path, first, n, *, labels=True):
    rows = [example(i) for i in range(first, first + n)]
    if not labels:
        rows = [{k: v for k, v in row.items() if k != "label"} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("choices")
    make_encoder(here)
    write(here / "train.jsonl", 0, 160)
    write(here / "dev.jsonl", 160, 50)
    return here


def job(place, out, *changes, train="train.jsonl", source="encoder", **options):
    recipe = load_recipe(FineTuningRecipe, changes=[*FAST, *changes])
    return FineTuning(
        str(place / source), "multiple-choice", place / train, recipe, out, evaluate=place / "dev.jsonl",
        quiet=True, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(place):
    return place / "tuned", job(place, place / "tuned").run()


# Files


def test_the_csv_of_swag(tmp_path):
    (tmp_path / "val.csv").write_text(SWAG)
    task = named_task("swag")
    found = task.read(tmp_path / "val.csv")
    assert found.contexts == ["A film.", "The plot."]
    assert found.starts == ["The cast", "It"]
    assert found.choices[0] == ["is warm, and funny.", "is dull.", "is a.", "is of."]
    assert (found.labels, found.lines) == ([0, 3], [2, 3])
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    data = task.dataset(tokenizer, found, CONFIG)
    assert data.targets["labels"].tolist() == [0, 3]
    batch = data.batch([1])
    assert batch.cu_choices.tolist() == [0, 4]
    expected = tokenizer.encode(["The plot."], ["It is grim."])
    assert batch.input_ids[batch.sequence_ids == 3].tolist() == expected.input_ids[0].tolist()
    assert batch.token_type_ids[batch.sequence_ids == 3].tolist() == expected.token_type_ids[0].tolist()


OTHERS = {
    "a.jsonl": '{"question": "a film?", "options": ["warm", "dull", "grim"], "answer": "C"}',
    "b.jsonl": '{"ctx": "a film", "endings": ["warm", "dull", "grim"], "label": "2"}',
    "hellaswag.jsonl": '{"ind": 4, "ctx_a": "a", "ctx_b": "film?", "ctx": "a film?", "split": "val", '
    '"endings": ["warm", "dull", "grim"], "label": 2}',
    "c.tsv": 'premise\tchoice1\tchoice2\tchoice3\tlabel\na "film\twarm\tdull\tgrim\t2',
    "d.csv": "text,choice_10,choice_2,choice_1,label\na film,grim,dull,warm,2.0",
    "e.jsonl": '{"context": "a", "question": "film?", "answer0": "warm", "answer1": "dull", "answer2": "x", '
    '"label": 2}',
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_tables(name, tmp_path):
    (tmp_path / name).write_text(OTHERS[name])
    found = read_choices(tmp_path / name)
    assert found.labels == [2]
    assert found.choices[0][:2] == ["warm", "dull"]
    assert found.starts == ["film?" if name in ("e.jsonl", "hellaswag.jsonl") else ""]


def test_columns_that_are_said(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"body": "a", "lead": "the ", "choices": ["x", "y"], "gold": 1}')
    found = read_choices(tmp_path / "a.jsonl", text="body", start="lead", label="gold")
    assert (found.contexts, found.starts, found.labels) == (["a"], ["the"], [1])
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: no column 'bodi'.*Did you mean 'body'"):
        read_choices(tmp_path / "a.jsonl", text="bodi")
    with pytest.raises(DataError, match="which column holds the context"):
        read_choices(tmp_path / "a.jsonl")


BAD_ROWS = [
    ({"label": 3}, "label 3: the choices are 0 to 2"),
    ({"label": -1}, "label -1: the choices are 0 to 2"),
    ({"label": "x y"}, "label 'x y': the choices are 0 to 2"),
    ({"label": True}, "label 'True'"),
    ({"choices": ["a"], "label": 0}, "1 choice: there is nothing to choose from"),
    ({"choices": [], "label": 0}, "no choice: there is nothing to choose from"),
    ({"choices": ["a", " ", "c"]}, "choice 1 is empty"),
    ({"choices": ["a", 2]}, "choices are texts"),
    ({"choices": "a"}, "1 choice"),
    ({"context": ""}, "the context is empty"),
    ({"context": 5}, "'context' should hold text, not 5"),
]


@pytest.mark.parametrize(("change", "message"), BAD_ROWS)
def test_bad_rows(change, message, tmp_path):
    good = {"context": "the film", "choices": ["a", "b", "c"], "label": 1}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(good | change)}\n")
    with pytest.raises(DataError, match=rf"a\.jsonl, line 2: .*{message}"):
        read_choices(tmp_path / "a.jsonl")


def test_bad_files(tmp_path, place, capsys):
    (tmp_path / "a.csv").write_text("context,label\na,0\n")
    with pytest.raises(DataError, match="line 2: where are the choices"):
        read_choices(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("context,ending0,ending1\n")
    with pytest.raises(DataError, match="no examples"):
        read_choices(tmp_path / "b.csv")
    unlabelled = write(tmp_path / "test.jsonl", 0, 3, labels=False)
    arguments = ["-q", str(place / "encoder"), "--task", "multiple-choice"]
    out = tmp_path / "out"
    assert main(["finetune", *arguments, "--train", str(unlabelled), "--out", str(out)]) == 3
    assert "test.jsonl, line 1: there is no label" in capsys.readouterr().err
    good = ["--train", str(place / "train.jsonl"), "--eval", str(unlabelled)]
    assert main(["finetune", *arguments, *good, "--out", str(out)]) == 3
    assert not out.exists()


# Learning


def test_it_learns(place, tuned, capsys):
    out, report = tuned
    found = report["models"]["model"]
    assert found["accuracy"] > 0.9
    examples = read_choices(place / "dev.jsonl")
    assert found["chance"] == pytest.approx(np.mean([1 / len(c) for c in examples.choices]))
    assert 0.2 < found["chance"] < 0.5
    assert (report["primary"], report["better"]) == ("accuracy", "higher")
    model = load_model(out, strict=True)
    assert isinstance(model, BertForMultipleChoice)
    card = (out / "README.md").read_text()
    assert 'pipeline_tag: "multiple-choice"' in card
    arguments = ["evaluate", "-q", str(out), "--task", "swag", "--data", str(place / "dev.jsonl"), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == found["accuracy"]
    log = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert sum(r["examples"] for r in log if "examples" in r) == 4 * 160, "an example is a group"


def test_stopped_and_started_again(place, tuned, tmp_path, monkeypatch):
    stop_after(7, job(place, tmp_path / "run"), monkeypatch)
    job(place, tmp_path / "run").run()
    bits = [(out / "model.safetensors").read_bytes() for out in (tmp_path / "run", tuned[0])]
    assert bits[0] == bits[1]


def test_accumulation_is_a_larger_batch(place):
    """Two micro-batches of four groups, with other numbers of choices in each, give the step of eight."""
    steps = []
    for size, accumulation in ((8, 1), (4, 2)):
        changes = [f"train.batch_size={size}", f"train.accumulation={accumulation}", "train.max_steps=1"]
        changes += ["train.dropout=false", "train.warmup=0"]
        run = job(place, place / "unused", *changes)
        model = run.first_model()
        run.trainer(model, quiet=True).train()
        model.params["classifier.bias"][...] = 0  # its gradient is rounding, which Adam makes as large as any
        steps.append(model.params.flat)
    np.testing.assert_allclose(steps[0], steps[1], atol=2e-5)


def test_a_teacher_without_labels(place, tuned, tmp_path):
    write(place / "unlabelled.jsonl", 300, 200, labels=False)
    changes = ["model.layers=alternate", "teaching.terms={soft = 1.0, hard = 0.0}"]
    report = job(
        place, tmp_path / "s", *changes, train="unlabelled.jsonl", source="tuned", teacher=str(tuned[0])
    ).run()
    assert report["models"]["student"]["layers"] == 3
    assert report["models"]["student"]["accuracy"] > 0.9
    assert isinstance(load_model(tmp_path / "s"), BertForMultipleChoice)


def test_soft_labels_are_within_an_example(place, tmp_path):
    """By hand for each example; and what is kept of the teacher is what it says."""
    tokenizer = make_tokenizer(place / "vocabulary")
    task = MultipleChoiceTask(DataSettings(max_length=16))
    data = task.dataset(tokenizer, read_choices(place / "dev.jsonl"), CONFIG)
    teacher = BertForMultipleChoice(CONFIG, dtype="float64", backend="numpy", seed=1)
    student = init_student(teacher, [0, 3], seed=2)
    np.testing.assert_array_equal(student.params["classifier.weight"], teacher.params["classifier.weight"])
    student.params.flat[...] *= 1.5
    objective = Distillation(student, {"soft": 1.0}, teacher=teacher, temperature=3.0)
    batch = data.batch(np.arange(6))
    assert len(set(np.diff(batch.cu_choices))) > 1
    totals = objective.counts(batch)
    assert totals == {"soft": 6}
    grads = student.params.like()
    (value,) = objective(student, batch, totals, None, grads).values()
    outputs, cache = student.forward(batch)
    theirs = teacher.forward(batch)[0]["logits"]
    total, dlogits = 0.0, np.zeros_like(outputs["logits"])
    for a, b in zip(batch.cu_choices[:-1], batch.cu_choices[1:], strict=True):
        loss = soft_label_kl(outputs["logits"][None, a:b], theirs[None, a:b], temperature=3.0)
        total, dlogits[a:b] = total + loss.sum, loss.grad[0] / 6
    assert value == pytest.approx(total, rel=1e-12)
    expected = student.params.like()
    student.backward({"logits": dlogits}, cache, expected)
    np.testing.assert_allclose(grads.flat, expected.flat, atol=1e-12)

    options = {"settings": TrainSettings(epochs=2), "out": tmp_path, "quiet": True}
    kept = DistillationTrainer(student, teacher, data, **options).objective
    assert isinstance(kept.teacher_cache, TeacherCache)
    np.testing.assert_allclose(kept.teacher_cache(batch)["logits"], theirs, atol=1e-12)
    with pytest.raises(ConfigError, match="logits term is for classifiers and regression"):
        Distillation(student, {"logits": 1.0}, teacher=teacher)


def test_a_distilbert_student():
    config = CONFIG.replace(layer_norm_eps=1e-12)
    teacher = BertForMultipleChoice(config, seed=1)
    student = init_student(teacher, [0, 3], DistilBertForMultipleChoice)
    assert student.params["classifier.weight"].shape == (1, 24)
    narrow = init_student(teacher, [0, 3], width=12)
    assert narrow.params["classifier.weight"].shape == (1, 12)


# Choosing


def test_the_pipeline(place, tuned):
    choose = pipeline("multiple-choice", tuned[0])
    assert isinstance(choose.task, MultipleChoiceTask)
    rows = [example(i) for i in range(160, 190)]
    contexts, lists = [r["context"] for r in rows], [r["choices"] for r in rows]
    found = choose(contexts, lists)
    examples = read_choices(place / "dev.jsonl")
    task = MultipleChoiceTask(DataSettings(max_length=16))
    data = task.dataset(choose.tokenizer, examples, choose.model.config)
    straight = choice_probabilities(choose.model, data)
    for row, best, expected in zip(rows, found, straight, strict=False):
        assert best.scores == pytest.approx(expected.tolist())
        assert sum(best.scores) == pytest.approx(1)
        assert (best.text, best.score) == (row["choices"][best.number], max(best.scores))
        assert choose(row["context"], row["choices"])[0] == best, "whoever else is asked about"
    assert np.mean([f.number == r["label"] for f, r in zip(found, rows, strict=True)]) > 0.9
    begun = choose(["the film"], ["warm", "dull"], starts=["is"])[0]
    assert begun.scores == choose("the film", ["is warm", "is dull"])[0].scores
    assert choose([], []) == []


def test_what_it_refuses(place, tuned, tmp_path):
    choose = pipeline("multiple-choice", tuned[0])
    for arguments, message in (
        (("a", ["a", ""]), "a choice is empty"),
        (("a", ["a"]), "1 choice: there is nothing to choose from"),
        (("a", []), "no choice"),
        ((["a", "b"], [["a", "b"]]), "2 texts, but choices for 1"),
    ):
        with pytest.raises(InputError, match=message):
            choose(*arguments)
    with pytest.raises(InputError, match="more than the maximum of 16"):
        choose("a " * 30, ["a", "b"], truncation=False)
    with pytest.raises(ConfigError, match="does not classify texts"):
        pipeline("text-classification", tuned[0])
    classifier = make_classifier(tmp_path)
    assert isinstance(predictor_of(classifier).task, ClassificationTask)
    with pytest.raises(ConfigError, match=r"multiple-choice needs a \.\.\.ForMultipleChoice"):
        MultipleChoiceTask().evaluate_saved(classifier, read_choices(place / "dev.jsonl"))


def test_files_are_predicted_from(tuned, tmp_path, capsys):
    (tmp_path / "val.csv").write_text(SWAG)
    assert main(["predict", str(tuned[0]), "--data", str(tmp_path / "val.csv"), "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["context"], first["start"], first["line"]) == ("A film.", "The cast", 2)
    assert first["choices"] == ["is warm, and funny.", "is dull.", "is a.", "is of."]
    assert second["choice"] in second["choices"]
    with pytest.raises(InputError, match="choices must be a list of texts"):
        pipeline("multiple-choice", tuned[0])("a film", "ab")


def test_the_command_line(tuned, tmp_path, capsys):
    model, row = str(tuned[0]), example(161)
    assert main(["predict", model, row["context"], "--choices", *row["choices"]]) == 0
    number, score, text = capsys.readouterr().out.rstrip("\n").split("\t")
    assert row["choices"][int(number)] == text
    assert 0 < float(score) <= 1
    lines = [json.dumps(example(i)) for i in range(160, 165)]
    assert main(["predict", model, *lines, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f["choices"] for f in found] == [example(i)["choices"] for i in range(160, 165)]
    assert all(f["choice"] == f["choices"][f["number"]] for f in found)
    page = tmp_path / "page.html"
    assert main(["predict", model, "the film", "--choices", "a <b>", "of", "--html", str(page)]) == 0
    assert "a &lt;b&gt;" in page.read_text()
    capsys.readouterr()
    assert main(["predict", model, "the film"]) == 2
    assert "which are the choices? Say --choices" in capsys.readouterr().err
    assert main(["predict", model, '{"context": "the film", "choices": ["a", ""]}']) == 3
    assert "choice 1 is empty" in capsys.readouterr().err
    assert main(["predict", model, "the film", "--choices", "a"]) == 3
    assert "nothing to choose from" in capsys.readouterr().err
    assert main(["predict", model, "a", "--choices", "a", "b", "--top-k", "2"]) == 2

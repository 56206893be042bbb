"""All of GLUE by the command line: learnt, resumed, measured again, compared, handed in."""

import json
import shutil
import zipfile

import pytest
from glue_toy import GLUE_FILES, write_glue
from tiny import make_encoder

from minidistil.cli.main import main
from minidistil.jobs.finetune import FineTuning
from minidistil.jobs.glue import best_model, glue_table, read_report
from minidistil.jobs.glue_report import spread_summary
from minidistil.model.families import load_config
from minidistil.tasks.glue import GLUE, retention

FEW = ["SST-2", "STS-B", "MNLI", "AX"]
FAST = ["--set", "train.max_steps=2", "--set", "train.lr=1e-3", "--set", "data.max_length=24"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("glue")
    make_encoder(here)
    write_glue(here / "all")
    write_glue(here / "few", FEW)
    return here


def finetune(place, out, *more, folder="few", source=None, code=0):
    begin = str(source or place / "encoder")
    arguments = ["finetune", begin, "--task", "glue", "--train", str(place / folder)]
    assert main([*arguments, "--out", str(out), "-q", "--json", *FAST, *map(str, more)]) == code


@pytest.fixture(scope="module")
def tuned(place):
    finetune(place, place / "tuned", folder="all")
    return place / "tuned"


def test_all_nine(tuned, capsys):
    report = json.loads((tuned / "report.json").read_text())
    found = report["models"]["model"]
    assert list(found["tasks"]) == list(GLUE)
    assert (found["measured"], report["missing"]) == (9, {})
    primary = [facts["primary"] for facts in found["tasks"].values()]
    assert found["macro"] == pytest.approx(sum(primary) / 9)
    mnli = json.loads((tuned / "mnli" / "report.json").read_text())["models"]["model"]
    assert found["ax"] == mnli["matthews_ax"]
    assert mnli["accuracy_mismatched"] == mnli["accuracy"], "the files are the same"
    assert found["tasks"]["mnli"]["score"] == mnli["accuracy"]
    assert load_config(tuned / "stsb").problem_type == "regression"
    assert all(len(line) <= 80 for line in glue_table(report).splitlines())


def test_what_the_server_takes(tuned):
    titles = {"CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI-m", "MNLI-mm", "QNLI", "RTE", "WNLI", "AX"}
    with zipfile.ZipFile(tuned / "submission.zip") as zipped:
        assert set(zipped.namelist()) == {f"{title}.tsv" for title in titles}
        for name in zipped.namelist():
            text = zipped.read(name).decode()
            assert text == (tuned / "submission" / name).read_text()
            lines = [line.split("\t") for line in text.splitlines()]
            assert lines[0] == ["index", "prediction"]
            assert [line[0] for line in lines[1:]] == [str(i) for i in range(8)]
            said = {line[1] for line in lines[1:]}
            if name == "STS-B.tsv":
                assert all(0 <= float(number) <= 5 and number[-4] == "." for number in said)
            elif name in ("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"):
                assert said <= {"entailment", "neutral", "contradiction"}
            elif name in ("QNLI.tsv", "RTE.tsv"):
                assert said <= {"entailment", "not_entailment"}
            else:
                assert said <= {"0", "1"}


def test_measured_again(place, tuned, capsys):
    arguments = ["evaluate", str(tuned), "--task", "glue", "--data", str(place / "all"), "-q"]
    arguments += ["--set", "data.max_length=24", "--against", str(tuned)]
    assert main([*arguments, "--json"]) == 0
    found, before = json.loads(capsys.readouterr().out), read_report(tuned)
    assert found["models"]["model"]["macro"] == pytest.approx(before["macro"], rel=1e-6)
    assert found["models"]["model"]["ax"] == pytest.approx(before["ax"], rel=1e-6)
    assert found["models"]["against"] == before
    assert found["retention"]["macro"] == pytest.approx(1, rel=1e-6)
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "as GLUE counts" in shown
    assert "100.0%" in shown


def test_what_is_done_is_not_repeated(place, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    finetune(place, out)
    report = json.loads(capsys.readouterr().out)
    assert set(report["missing"]) == set(GLUE) - {"sst2", "stsb", "mnli"}
    (out / "stsb" / "report.json").unlink()
    (out / "submission" / "SST-2.tsv").unlink()
    kept = (out / "submission" / "MNLI-m.tsv").stat().st_mtime_ns
    ran = []
    run = FineTuning.run
    monkeypatch.setattr(FineTuning, "run", lambda self: ran.append(self.task_name) or run(self))
    finetune(place, out)
    assert json.loads(capsys.readouterr().out)["models"] == report["models"]
    assert ran == ["stsb"]
    assert (out / "submission" / "SST-2.tsv").exists()
    assert (out / "submission" / "MNLI-m.tsv").stat().st_mtime_ns == kept
    finetune(place, out, "--set", "sst2.train.lr=1e-4", code=3)
    assert "holds another run (recipe.train.lr is 0.001 there, 0.0001 here)" in capsys.readouterr().err


def test_of_several_seeds_one_that_says_a_constant_is_not_the_best(tmp_path):
    """Its correlation is null in the report, and counts as 0."""
    for seed, value in enumerate((None, 0.5, -0.5)):
        place = tmp_path / "stsb" / f"seed-{seed}"
        place.mkdir(parents=True)
        (place / "config.json").write_text("{}")
        (place / "report.json").write_text(json.dumps({"models": {"model": {"pearson": value}}}))
    assert best_model(tmp_path, "stsb").name == "seed-1"
    (tmp_path / "stsb" / "seed-1" / "config.json").unlink()
    assert best_model(tmp_path, "stsb").name == "seed-0"


def test_settings_of_one_task(place, tmp_path, capsys):
    finetune(place, tmp_path / "out", "--set", "stsb.train.max_steps=3")
    steps = {
        name: json.loads((tmp_path / "out" / name / "run.json").read_text())["recipe"]["train"]["max_steps"]
        for name in ("sst2", "stsb", "mnli")
    }
    assert steps == {"sst2": 2, "stsb": 3, "mnli": 2}
    capsys.readouterr()
    finetune(place, tmp_path / "other", "--set", "stsb.train.max_step=3", code=3)
    assert "max_steps" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_taught_with_seeds(place, tuned, tmp_path, capsys):
    out = tmp_path / "out"
    finetune(place, out, "--distill-from", tuned, "--seeds", 2, "--set", "model.layers=alternate")
    report = json.loads(capsys.readouterr().out)
    teacher, student = report["models"]["teacher"], report["models"]["student"]
    whole = read_report(tuned)
    assert teacher["tasks"]["stsb"]["primary"] == pytest.approx(whole["tasks"]["stsb"]["primary"], rel=1e-6)
    assert teacher["ax"] == pytest.approx(whole["ax"], rel=1e-6)
    each = [
        json.loads((out / "stsb" / f"seed-{i}" / "report.json").read_text())["models"]["student"]["pearson"]
        for i in (0, 1)
    ]
    facts = student["tasks"]["stsb"]
    assert (facts["lowest"], facts["highest"]) == (min(each), max(each))
    assert facts["primary"] == pytest.approx(sum(each) / 2)
    assert best_model(out, "stsb").name == f"seed-{each.index(max(each))}"
    share = report["retention"]["tasks"]["mnli"]
    assert share == pytest.approx(
        student["tasks"]["mnli"]["primary"] / teacher["tasks"]["mnli"]["primary"], rel=1e-6
    )
    assert all(len(line) <= 80 for line in glue_table(report).splitlines())
    assert main(["evaluate", str(out), "--task", "glue", "--data", str(place / "few"), "-q", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["models"]["model"]["tasks"]["stsb"]
    assert again["lowest"] == pytest.approx(facts["lowest"], rel=1e-6)


def test_the_same_students_without_their_teachers(place, tuned, tmp_path, capsys):
    out = tmp_path / "out"
    half = ["--distill-from", tuned, "--seeds", 2, "--set", "model.layers=alternate"]
    finetune(place, out, *half, "--baseline")
    report = json.loads(capsys.readouterr().out)
    assert list(report["models"]) == ["teacher", "student", "baseline"]
    gains = []
    for seed in (0, 1):
        differences = []
        for name in ("sst2", "stsb", "mnli"):
            models = json.loads((out / name / f"seed-{seed}" / "report.json").read_text())["models"]
            ours, theirs = (models[model][GLUE[name].main_metric] or 0 for model in ("student", "baseline"))
            differences.append(ours - theirs)
        gains.append(sum(differences) / 3)
    assert report["comparison"]["baseline"]["differences"] == pytest.approx(gains)
    lines = glue_table(report).splitlines()
    assert lines[0].split() == ["teacher", "student", "baseline", "retained"]
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("The teacher is worth") for line in lines)
    assert "Missing: CoLA (no folder CoLA)" in " ".join(lines)
    finetune(place, tmp_path / "o", "--baseline", code=2)
    assert "it goes with --distill-from" in capsys.readouterr().err


def test_each_student_begins_from_the_model_of_its_task(place, tuned, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--distill-from", tuned, "--set", "model.layers=alternate"]
    finetune(place, out, *options, source=tuned)
    assert json.loads(capsys.readouterr().out)["from"] == str(tuned)
    for name in ("sst2", "stsb", "mnli"):
        assert json.loads((out / name / "run.json").read_text())["from"] == str(best_model(tuned, name))
    shutil.rmtree(out)
    only = tmp_path / "only"
    (only / "sst2").mkdir(parents=True)
    (only / "sst2" / "config.json").write_text("{}")
    finetune(place, out, *options, source=only, code=3)
    assert "has no model for" in capsys.readouterr().err


def test_medians_over_seeds():
    """Of each task first, as in DistilBERT's table; what is not defined counts as 0."""
    runs = {
        "sst2": [{"accuracy": x} for x in (0.5, 0.8, 0.9)],
        "stsb": [{"pearson": x, "spearman": 0.4} for x in (0.7, None, 0.1)],
    }
    found = spread_summary(runs)
    assert found["median_macro"] == pytest.approx((0.8 + 0.1) / 2)
    assert found["median_glue_score"] == pytest.approx((0.8 + 0.25) / 2)
    assert found["tasks"]["sst2"]["median"] == 0.8
    alone = spread_summary({name: of[:1] for name, of in runs.items()})
    assert "median_macro" not in alone
    kept = retention(found, alone)
    assert kept["median_macro"] == pytest.approx(0.45 / ((0.5 + 0.7) / 2))
    shown = glue_table({"models": {"student": found, "teacher": alone}, "retention": kept, "missing": {}})
    row = next(line for line in shown.splitlines() if line.startswith("median first metric"))
    assert row.split() == ["median", "first", "metric", "60.0", "45.0", "75.0%"]


def test_what_is_refused(place, tuned, tmp_path, capsys):
    def refused(message, *arguments, code=3):
        assert main([*map(str, arguments)]) == code
        assert message in capsys.readouterr().err

    start = ["finetune", place / "encoder", "--task", "glue", "--out", tmp_path / "out", "-q", "--train"]
    refused("no folder of GLUE's", *start, place)
    refused("cannot be read", *start, tmp_path / "none")
    refused("leave out --eval", *start, place / "few", "--eval", "x.tsv", code=2)
    refused("--seeds takes", *start, place / "few", "--seeds", "0", code=2)
    refused("is no report on GLUE", *start, place / "few", "--against", tuned / "rte")
    refused("has no model for sst2", *start, place / "few", "--distill-from", tmp_path)
    write_glue(tmp_path / "half", ["RTE"])
    (tmp_path / "half" / "RTE" / "dev.tsv").unlink()
    refused("no task in it has a train and a dev file", *start, tmp_path / "half")
    write_glue(tmp_path / "bad", ["CoLA", "RTE"])
    with (tmp_path / "bad" / "RTE" / "dev.tsv").open("a") as file:
        file.write("9\ta\tb\tperhaps\n")
    refused("dev.tsv, line 10: unknown label 'perhaps'", *start, tmp_path / "bad")
    (tmp_path / "bad" / "RTE" / "dev.tsv").write_text(GLUE_FILES["RTE"]["dev.tsv"])
    (tmp_path / "bad" / "RTE" / "test.tsv").write_text("index\tsentence1\n0\ta\n")
    refused("test.tsv: no column 'sentence2'", *start, tmp_path / "bad")
    assert not (tmp_path / "out").exists(), "nothing is learnt before all files are read"
    start[5] = tuned / "rte"
    refused("holds a single run", *start, place / "few")
    single = ["finetune", place / "encoder", "--task", "sst2", "--train", place / "few/SST-2/train.tsv"]
    refused("is there already, and not of this run", *single, "--out", tuned, "-q")
    refused("--against goes with --task glue", *single, "--out", tmp_path / "o", "--against", tuned, code=2)
    measure = ["evaluate", tuned, "-q", "--task"]
    refused("no folder of GLUE's", *measure, "glue", "--data", tuned / "submission")
    refused("without --entries", *measure, "glue", "--data", place / "few", "--entries", "x", code=2)
    three = ["--data", "a", "b", "c"]
    refused("measured on at most 2 files, not 3", *measure, "translations", *three, code=2)
    refused("--against goes with", *measure, "sst2", "--data", "x", "--against", tuned, code=2)
    refused("has no model for any of", "evaluate", tmp_path, "--task", "glue", "--data", place / "few", "-q")

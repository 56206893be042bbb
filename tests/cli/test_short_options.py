"""Settings on the command line: short options, one name of a column, --print-recipe without files."""

import json

import pytest
from tiny import make_classifier, make_encoder

from minidistil.cli.main import build_parser, main
from minidistil.jobs.demo.demo import ReviewSettings
from minidistil.jobs.distill import DistillationRecipe
from minidistil.jobs.finetune import FineTuningRecipe
from minidistil.jobs.multilingual import PairsRecipe
from minidistil.jobs.pretrain import PretrainingRecipe
from minidistil.settings import load_recipe


def printed(capsys, *arguments, code=0):
    assert main([*arguments, "--print-recipe"]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


@pytest.mark.parametrize(
    ("arguments", "recipe", "changes"),
    [
        (["finetune", "--task", "sst2", "--lr", "3e-4"], FineTuningRecipe, ["train.lr=3e-4"]),
        (["finetune", "--task", "glue", "--set", "rte.train.epochs=9"], FineTuningRecipe, []),
        (["finetune"], FineTuningRecipe, []),
        (["distill", "--recipe", "small", "--max-length", "64"], DistillationRecipe, ["data.max_length=64"]),
        (["distill", "--pairs", "a", "b", "--text", "en"], PairsRecipe, ["data.source=en"]),
        (["distill", "--recipe", "multilingual", "--pair", "de"], PairsRecipe, ["data.translation=de"]),
        (["pretrain", "--text", "body"], PretrainingRecipe, ["data.text_key=body"]),
        (["demo", "--labels", "all", "--set", "lr=1e-3"], ReviewSettings, ["labels=none", "lr=1e-3"]),
    ],
)  # fmt: skip
def test_a_recipe_is_printed_without_files(arguments, recipe, changes, capsys, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(printed(capsys, *arguments))
    name = arguments[arguments.index("--recipe") + 1] if "--recipe" in arguments else None
    assert load_recipe(recipe, file=file) == load_recipe(recipe, name, changes=changes)


def test_quick_has_settings(capsys, tmp_path):
    file = tmp_path / "my.toml"
    file.write_text(printed(capsys, "demo", "--quick", "--seed", "3"))
    assert load_recipe(ReviewSettings, file=file) == ReviewSettings(
        labels=400, texts=1500, teacher_epochs=3, alone_epochs=3, student_epochs=2, batch_size=16, lr=1e-4,
        seed=3,
    )  # fmt: skip
    assert "take one of them" in printed(capsys, "demo", "--quick", "--config", str(file), code=2)


def test_the_later_wins(capsys):
    def lr(*arguments):
        text = printed(capsys, "finetune", "--task", "sst2", *arguments).partition("\n[train]\n")[2]
        return next(line for line in text.splitlines() if line.startswith("lr = "))

    assert lr("--set", "train.lr=0.5", "--lr", "0.25") == "lr = 0.25"
    assert lr("--lr", "0.25", "--set", "train.lr=0.5") == "lr = 0.5"


@pytest.mark.parametrize("name", ["body", "none", "#1 String", "3", "[a]", "true", 'a "b"', "ö"])
def test_any_name_of_a_column(name):
    args = build_parser().parse_args(
        ["finetune", "m", "--task", "x", "--train", "f", "--out", "o", "--text", name]
    )
    found = load_recipe(FineTuningRecipe, changes=args.set).data.text
    assert found == (3 if name == "3" else name)


def test_a_setting_that_does_not_exist(capsys):
    for change, near in (
        ("train.lrr=1", "train.lr"), ("train.learning_rate=1", "train.lr"), ("learning_rate=1", "train.lr"),
        ("num_train_epochs=1", "train.epochs"), ("data.txt=a", "data.text"),
    ):  # fmt: skip
        said = printed(capsys, "finetune", "--task", "sst2", "--set", change, code=3)
        assert f"there is no setting {change.partition('=')[0]} (did you mean {near}?)" in said


def test_a_run_still_needs_its_files(capsys):
    for verb in ("finetune", "distill", "pretrain"):
        with pytest.raises(SystemExit) as stop:
            main([verb])
        assert stop.value.code == 2
        assert "required" in capsys.readouterr().err


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("columns")
    make_encoder(here)
    make_classifier(here)
    (here / "own.csv").write_text("review,mood\n" + "a film,negative\nthe plot,positive\n" * 4)
    return here


def test_a_column_has_one_name_in_every_verb(place, tmp_path, capsys):
    file, encoder, out = str(place / "own.csv"), str(place / "encoder"), str(tmp_path / "out")
    verbs = {
        "finetune": [encoder, "--task", "classification", "--train", file, "--label", "mood", "--out", out,
                     "--max-steps", "1"],
        "evaluate": [str(place / "classifier"), "--task", "classification", "--data", file,
                     "--label", "mood"],
        "predict": [str(place / "classifier"), "--data", file],
        "embed": [encoder, file, "--json"],
        "search": [encoder, "film", "--corpus", file],
        "cluster": [encoder, file, "--clusters", "2"],
    }  # fmt: skip
    for verb, arguments in verbs.items():
        assert main([verb, *arguments, "-q"]) == 3
        said = capsys.readouterr().err
        assert "which column holds the text? There are: review, mood" in said
        assert "say --text NAME" in said, "how the verb takes it"
        for option in ("--text", "--text-column"):
            assert main([verb, *arguments, option, "review", "-q"]) == 0, (verb, capsys.readouterr().err)


def test_short_options_reach_the_run(place, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["finetune", str(place / "encoder"), "--task", "classification"]
    arguments += ["--train", str(place / "own.csv")]
    arguments += ["--text", "review", "--label", "mood", "--max-length", "9"]
    arguments += ["--max-steps", "2", "--epochs", "5"]
    arguments += ["--batch-size", "3", "--lr", "0.001", "--seed", "6", "--out", str(out), "-q"]
    assert main(arguments) == 0
    recipe = json.loads((out / "report.json").read_text())["recipe"]
    assert recipe["data"] == {**recipe["data"], "text": "review", "label": "mood", "max_length": 9}
    expected = {"max_steps": 2, "epochs": 5, "batch_size": 3, "lr": 0.001, "seed": 6}
    assert recipe["train"] == {**recipe["train"], **expected}
    capsys.readouterr()


def test_a_finished_run_is_read_and_not_measured_again(place, tmp_path, capsys, caplog, monkeypatch):
    out = tmp_path / "run"
    arguments = ["finetune", str(place / "encoder"), "--task", "classification"]
    arguments += ["--train", str(place / "own.csv")]
    arguments += ["--eval", str(place / "own.csv"), "--text", "review", "--label", "mood", "--max-steps", "1"]
    arguments += ["--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    first = capsys.readouterr().out
    before = (out / "report.json").stat().st_mtime_ns
    caplog.set_level("INFO")
    again = "minidistil.jobs.finetune.FineTuning.report"
    monkeypatch.setattr(again, lambda self: pytest.fail("measured again"))
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(first)
    assert "its report is read" in caplog.text
    assert (out / "report.json").stat().st_mtime_ns == before

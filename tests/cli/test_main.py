"""The command line: what it prints, where, and with which exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import LABELS, make_classifier, make_encoder

from minidistil import __version__
from minidistil.cli.main import RENAMED, VERBS, main


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return str(make_classifier(tmp_path_factory.mktemp("cli")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("cli")))


def command(*arguments, stdin="", **environment):
    return subprocess.run(
        [sys.executable, "-m", "minidistil", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_version_and_help(capsys):
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as stop:
            main([option])
        assert stop.value.code == 0
    out = capsys.readouterr().out
    assert __version__ in out
    assert "exit codes: 0 done" in out
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"minidistil {verb}" in capsys.readouterr().out.split("examples:")[1]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_verb_says_its_new_name(old, new, capsys):
    assert new in VERBS
    assert main([old, "encoder", "texts.txt", "--clusters", "2"]) == 2
    assert capsys.readouterr() == ("", f"minidistil: {old!r} is now called {new!r}\n")


@pytest.mark.parametrize("arguments", [[], ["teach"], ["predict"], ["demo", "--labels", "some"]])
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2


def test_help_does_not_import_the_heavy_half():
    script = "import sys; from minidistil.cli.main import build_parser; build_parser()\n"
    script += "sys.exit([m for m in ('numpy', 'numba', 'tokenizers') if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_predict(classifier, capsys):
    assert main(["predict", classifier, "the film is warm", "a dull plot"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["the film is warm", "a dull plot"]
    assert all(line[0] in LABELS.values() and 0.5 <= float(line[1]) <= 1 for line in lines)


def test_predict_from_standard_input_as_json(classifier):
    done = command("predict", classifier, "-", "--json", stdin="the film is warm\n\nא dull « plot »\n")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["the film is warm", "", "א dull « plot »"]
    assert [row["line"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert sum(row["scores"].values()) == pytest.approx(1)
        assert row["score"] == row["scores"][row["label"]] == max(row["scores"].values())


def test_predict_does_not_depend_on_company_or_backend(classifier, capsys):
    def scores(*arguments):
        assert main(["predict", classifier, *arguments, "--json"]) == 0
        return [json.loads(line)["scores"]["positive"] for line in capsys.readouterr().out.splitlines()]

    texts = ["the film is warm and funny", "a plot", "dull"]
    together = scores(*texts)
    np.testing.assert_allclose([scores(text)[0] for text in texts], together, rtol=1e-5)
    np.testing.assert_allclose(scores(*texts, "--backend", "numpy"), together, rtol=1e-5)


def test_predict_many_labels_and_regression(tmp_path, capsys):
    many = make_classifier(tmp_path / "many", problem_type="multi_label_classification")
    assert main(["predict", str(many), "the plot", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    chosen = [name for name, score in row["scores"].items() if score >= 0.5]
    assert row["label"] == ", ".join(chosen)
    one = make_classifier(tmp_path / "one", id2label={0: "stars"})
    assert main(["predict", str(one), "the plot", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row.keys() == {"text", "label", "score"}
    assert row["label"] == "stars"
    unnamed = make_classifier(tmp_path / "unnamed", id2label={0: "score"}, problem_type="regression")
    assert main(["predict", str(unnamed), "the plot"]) == 0
    score, text = capsys.readouterr().out.rstrip().split("\t")
    assert (f"{row['score']:.4f}", "the plot") == (score, text)


def test_long_text_is_cut_with_one_warning(classifier):
    done = command("predict", classifier, "film " * 100, "plot " * 100)
    assert done.returncode == 0
    assert done.stderr.count("truncated") == 1


def test_long_text_is_refused_when_asked(classifier, capsys):
    assert main(["predict", classifier, "a film", "film " * 100, "--no-truncation"]) == 3
    assert "more than the maximum of 24" in capsys.readouterr().err


def test_inspect(classifier, capsys):
    assert main(["inspect", classifier]) == 0
    text = capsys.readouterr().out
    for expected in ("BertForSequenceClassification (bert)", "6 of width 24", "negative, positive", "loaded"):
        assert expected in text
    assert main(["inspect", classifier, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    parts = facts["parameters"]
    assert parts["total"] == parts["embeddings"] + parts["layers"] + parts["head"]
    assert parts["head"] == 24 * 24 + 24 + 2 * 24 + 2
    assert facts["memory_bytes"]["inference"] >= 4 * parts["total"]


def test_inspect_a_bare_encoder_as_something_else(encoder, capsys):
    assert main(["inspect", encoder, "--as", "BertForSequenceClassification"]) == 0
    assert "newly initialised: classifier.weight, classifier.bias" in capsys.readouterr().out
    assert main(["inspect", encoder, "--as", "BertForSequenceClassification", "--strict"]) == 3
    assert "classifier.weight" in capsys.readouterr().err


def broken(tmp_path, classifier, name, content):
    """A copy of the classifier's directory in which one file has other content."""
    copy = shutil.copytree(classifier, tmp_path / "broken")
    (copy / name).write_bytes(content)
    return str(copy)


def with_config(classifier, **changes):
    return json.dumps({**json.loads(Path(classifier, "config.json").read_text()), **changes}).encode()


def test_bad_directories_are_3_with_one_line(tmp_path, classifier, capsys):
    weights = Path(classifier, "model.safetensors").read_bytes()
    cases = {
        "not a model": (str(tmp_path), "config.json"),
        "cut short": (
            broken(tmp_path / "1", classifier, "model.safetensors", weights[:-7]),
            "model.safetensors",
        ),
        "garbage": (
            broken(tmp_path / "2", classifier, "model.safetensors", b"\xff" * 99),
            "model.safetensors",
        ),
        "more layers": (
            broken(tmp_path / "3", classifier, "config.json", with_config(classifier, num_hidden_layers=7)),
            "layer",
        ),
        "other width": (
            broken(tmp_path / "4", classifier, "config.json", with_config(classifier, intermediate_size=33)),
            "33",
        ),
        "other family": (
            broken(tmp_path / "5", classifier, "config.json", with_config(classifier, model_type="bart")),
            "supported: albert, bert",
        ),
        "other class": (
            broken(
                tmp_path / "6",
                classifier,
                "config.json",
                with_config(classifier, architectures=["GPT2Model"]),
            ),
            "BertForSequenceClassification",
        ),
        "not JSON": (broken(tmp_path / "7", classifier, "config.json", b"{"), "not JSON"),
        "no tokenizer": (broken(tmp_path / "8", classifier, "tokenizer.json", b"[]"), "tokenizer"),
    }
    for name, (path, expected) in cases.items():
        assert main(["predict", path, "the film"]) == 3, name
        out, err = capsys.readouterr()
        assert out == "", name
        assert err.startswith("minidistil predict: "), name
        assert expected in err, (name, err)
        assert "Traceback" not in err


def test_a_pickle_is_refused(tmp_path, classifier, capsys):
    path = broken(tmp_path, classifier, "pytorch_model.bin", b"\x80\x02")
    os.remove(f"{path}/model.safetensors")
    assert main(["predict", path, "x"]) == 3
    assert "save_pretrained" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_3(classifier):
    done = subprocess.run(
        [sys.executable, "-m", "minidistil", "predict", classifier, "-"],
        input=b"good\n\xff\xfe bad\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 3
    assert b"line 2" in done.stderr


def test_a_bare_encoder_does_not_classify(encoder, capsys):
    assert main(["predict", encoder, "x"]) == 3
    assert "has no head to predict with" in capsys.readouterr().err


def test_offline_and_missing_is_4(tmp_path):
    done = command("predict", "somebody/something", "x", HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.returncode == 4
    assert "hf download somebody/something" in done.stderr


def test_a_closed_pipe_is_no_error(classifier):
    line = f"{sys.executable} -m minidistil predict {classifier} film plot | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "0"
    assert "Traceback" not in done.stderr


def test_threads_option(classifier, capsys):
    from minidistil import threads

    before = threads.get_num_threads()
    assert main(["predict", classifier, "film", "--threads", "3"]) == 0
    assert threads.get_num_threads() == 3
    threads.set_num_threads(before)
    assert main(["predict", classifier, "film", "--threads", "0"]) == 2


def test_options_of_every_verb_may_stand_before_it(classifier, capsys):
    from minidistil import threads

    before = threads.get_num_threads()
    assert main(["predict", classifier, "film", "-q"]) == 0
    behind = capsys.readouterr()
    assert main(["-q", "--threads", "3", "predict", classifier, "film"]) == 0
    assert threads.get_num_threads() == 3
    threads.set_num_threads(before)
    assert capsys.readouterr() == behind


def test_an_error_of_the_system_is_a_sentence(classifier, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise FileNotFoundError(2, "No such file or directory", "texts.txt")

    monkeypatch.setattr("minidistil.cli.predict._predictor", stop)
    assert main(["predict", classifier, "film"]) == 3
    assert capsys.readouterr().err == "minidistil predict: texts.txt: No such file or directory\n"


@pytest.mark.parametrize(
    ("message", "shown"), [("", "interrupted"), ("stopped after step 3", "stopped after step 3")]
)
def test_an_interruption_is_130_and_says_what_is_saved(message, shown, classifier, monkeypatch, capsys):
    def stop(*arguments, **options):
        raise KeyboardInterrupt(*[message] * bool(message))

    monkeypatch.setattr("minidistil.cli.predict._predictor", stop)
    assert main(["predict", classifier, "film"]) == 130
    assert capsys.readouterr().err == f"minidistil predict: {shown}\n"


def test_texts_stand_where_they_are_written(classifier, capsys):
    before, after = ["a film", "--json", "the plot"], ["--json", "a film", "the plot"]
    found = []
    for arguments in (before, after):
        assert main(["predict", classifier, *arguments]) == 0
        found.append([json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()])
    assert found == [["a film", "the plot"]] * 2
    for arguments in (["predict", classifier, "--nothing", "a film"], ["inspect", classifier, "a film"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert "unrecognized arguments" in capsys.readouterr().err

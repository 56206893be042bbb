"""Help, versions, and what is said of verbs, options and values that do not exist."""

import pytest
from tiny import make_classifier, make_encoder

from minidistil import __version__
from minidistil.cli.main import VERBS, main


def stopped(capsys, *arguments):
    """Exit code, standard output and standard error of a command that argparse ends."""
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_alone_it_shows_the_help(capsys):
    code, out, err = stopped(capsys)
    assert (code, err) == (2, "")
    assert out == stopped(capsys, "--help")[1]
    assert all(verb in out for verb in VERBS)


def test_help_of_a_verb(capsys):
    assert stopped(capsys, "help") == stopped(capsys, "--help")
    code, out, _ = stopped(capsys, "help", "embed")
    assert code == 0
    assert out == stopped(capsys, "embed", "--help")[1]
    assert "examples:" in out
    code, _, err = stopped(capsys, "help", "embbed")
    assert code == 2
    assert "did you mean embed?" in err


@pytest.mark.parametrize("arguments", [["version"], ["-V"], ["--version"]])
def test_the_version(capsys, arguments):
    assert stopped(capsys, *arguments) == (0, f"minidistil {__version__}\n", "")


def test_a_misspelt_verb(capsys):
    code, out, err = stopped(capsys, "finetun", "x")
    assert (code, out) == (2, "")
    assert "there is no verb 'finetun' (did you mean finetune?)" in err
    assert f"there are: {', '.join(list(VERBS)[:3])}" in stopped(capsys, "xyzzy")[2]


def test_an_unknown_option_shows_the_usage_of_its_verb(capsys):
    code, _, err = stopped(capsys, "predict", "model", "a text", "--topk", "3")
    assert code == 2
    assert err.startswith("usage: minidistil predict ")
    assert err.endswith("unrecognized arguments: --topk\ndid you mean --top-k?\n")
    assert "did you mean" not in stopped(capsys, "inspect", "model", "--xyzzy")[2]
    finetune = ("finetune", "m", "--task", "sst2", "--train", "f", "--out", "o")
    for theirs, ours in (("--learning-rate", "--lr"), ("--num-train-epochs=3", "--epochs")):
        assert stopped(capsys, *finetune, theirs)[2].endswith(f"did you mean {ours}?\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["align-words", "m", "a", "b", "--method", "argmux"],
            "argument --method: invalid choice: 'argmux' (did you mean argmax?)",
        ),
        (["embed", "m", "f", "--json", "--backend", "gpu"], "invalid choice: 'gpu'; there are: numba, numpy"),
        (["predict"], "the following arguments are required: model\n"),
        (
            ["finetune", "--task", "x", "--train", "t", "--out", "o", "--distill-from", "a", "m"],
            "required: MODEL; before --distill-from, which takes every value that follows it\n",
        ),
        (["finetune", "--task", "x", "--train", "t", "--out", "o"], "required: MODEL\n"),
        (["finetune", "m", "--task", "sst2"], "the following arguments are required: --train, --out\n"),
        (["embed", "m", "f"], "say where the vectors go: --out FILE, --out - for a pipe, or --json\n"),
        (["cluster", "m", "f"], "say what to find: --clusters K, --duplicates COSINE or --communities"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(capsys, arguments, message):
    code, out, err = stopped(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"usage: minidistil {arguments[0]} ")
    assert message in err


def test_what_an_encoder_can_do_without_a_head(tmp_path, capsys):
    assert main(["predict", str(make_encoder(tmp_path)), "x"]) == 3
    said = capsys.readouterr().err
    assert "has no head to predict with" in said
    assert "Any encoder can embed, search and cluster" in said
    assert "--task faq, intents or summarization" in said


def test_models_in_the_folders_of_a_directory_are_named(tmp_path, capsys):
    run = tmp_path / "run"
    for name in ("student", "teacher"):
        run.mkdir(exist_ok=True)
        make_classifier(tmp_path / name).rename(run / name)
    (run / "1_Pooling").mkdir()
    (run / "1_Pooling" / "config.json").write_text("{}")
    assert main(["predict", str(run), "x"]) == 3
    below = f"in it are: {run / 'student'}, {run / 'teacher'}\n"
    assert f"not a model directory; {below}" in capsys.readouterr().err


def test_a_classifier_that_embeds_is_said(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("a film\n")
    arguments = [str(tmp_path / "a.txt"), "--json", "-q"]
    assert main(["embed", str(make_classifier(tmp_path)), *arguments]) == 0
    assert "its vectors are those of its task, text-classification" in caplog.text
    caplog.clear()
    assert main(["embed", str(make_encoder(tmp_path)), *arguments]) == 0
    assert not caplog.text


def test_inspect_names_labels_where_there_are_some(tmp_path, capsys):
    assert main(["inspect", str(make_classifier(tmp_path))]) == 0
    assert "negative, positive" in capsys.readouterr().out
    encoder = str(make_encoder(tmp_path))
    assert main(["inspect", encoder, "--as", "BertForMaskedLM"]) == 0
    assert "LABEL" not in capsys.readouterr().out

"""minidistil gradcheck: what it prints, and that its exit code tells."""

import json

import pytest

from minidistil import ops
from minidistil.cli.gradcheck import chosen
from minidistil.cli.main import main


def call(*words):
    return main(["gradcheck", *words])


@pytest.fixture
def broken_tanh(monkeypatch):
    monkeypatch.setattr(ops, "tanh_backward", lambda dout, cache: dout)


def test_a_table_with_a_line_a_case(capsys):
    assert call("ops.layernorm", "losses.cosine") == 0
    out, err = capsys.readouterr()
    header, *rows, empty, summary = out.splitlines()
    assert header.split() == ["case", "tensors", "relative", "error", "worst", "tensor"]
    assert [row.split()[:2] for row in rows] == [
        ["ops.layernorm", "3"], ["losses.cosine", "1"], ["losses.cosine.masked", "1"],
    ]  # fmt: skip
    assert all(0 < float(row.split()[2]) < 1e-8 for row in rows)
    assert empty == ""
    assert summary == "5 of 5 gradients agree with finite differences within 1e-06"
    assert "3/3 case" in err


@pytest.mark.usefixtures("broken_tanh")
def test_a_wrong_gradient_is_named_and_gives_exit_code_1(capsys):
    assert call("ops.tanh", "ops.linear") == 1
    out = capsys.readouterr().out
    assert "FAILED ops.tanh x: relative error" in out
    assert "FAILED ops.linear" not in out


@pytest.mark.usefixtures("broken_tanh")
def test_a_wrong_gradient_deep_in_a_model_gives_exit_code_1(capsys):
    assert call("BertForNextSentencePrediction.loss", "--json") == 1
    results = json.loads(capsys.readouterr().out)["results"]
    failed = {r["tensor"] for r in results if not r["passed"]}
    assert "bert.pooler.dense.weight" in failed
    assert "cls.seq_relationship.weight" not in failed  # lies after the tanh


def test_json_has_every_tensor(capsys):
    assert call("ops.linear_activation.relu", "--json", "--backend", "numba") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["backend"], report["passed"], report["tolerance"]) == ("numba", True, 1e-6)
    assert [r["tensor"] for r in report["results"]] == ["x", "weight", "bias"]
    assert all(
        r["name"] == "ops.linear_activation.relu" and r["relative_error"] < 1e-6 for r in report["results"]
    )


def test_json_says_null_for_what_is_not_a_number(capsys, monkeypatch):
    monkeypatch.setattr(ops, "tanh_backward", lambda dout, cache: dout * float("nan"))
    assert call("ops.tanh", "--json") == 1
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["relative_error"] is None


def test_a_name_that_fits_nothing_is_refused(capsys):
    assert call("tanh", "spline") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "minidistil gradcheck: no gradient check has 'spline' in its name; there are: ops.linear"
    )


def test_quiet_leaves_only_the_table(capsys):
    assert call("ops.tanh", "-q") == 0
    assert capsys.readouterr().err == ""


def test_words_choose_cases():
    cases = ["ops.tanh", "ops.gelu_tanh", "losses.cosine"]
    assert chosen([], cases) == cases
    assert chosen(["tanh"], cases) == ["ops.tanh", "ops.gelu_tanh"]
    assert chosen(["cosine", "gelu"], cases) == ["ops.gelu_tanh", "losses.cosine"]

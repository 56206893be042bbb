"""The command: what it chooses, refuses, keeps and returns."""

import json

import pytest

from benchmarks import __main__ as command
from benchmarks import machine
from benchmarks.agreement import DisagreementError
from benchmarks.driver import Engine
from benchmarks.workloads import OURS, WORKLOADS

STARTED = {"differences": {}, "engines": {OURS: {"rounds": [[0.1]] * 3, "peak": 40.0}}}


@pytest.fixture
def measured(monkeypatch):
    """Nothing is made or measured; what would be is listed."""
    asked = []
    monkeypatch.setattr(command, "make_files", lambda engines: None)
    monkeypatch.setattr(command, "describe", lambda: {**machine.describe(), "busy": 0.9})

    def measure(workload, engines, rounds, threads, say):
        asked.append((workload.name, tuple(engine.name for engine in engines), rounds))
        say("round 1")
        return STARTED

    monkeypatch.setattr(command, "measure", measure)
    return asked


ALONE = ["--engines", OURS, "--only", "start"]


def test_results_are_kept_and_printed(measured, tmp_path, capsys):
    path = tmp_path / "new" / "bench.json"
    assert command.main([*ALONE, "--rounds", "2", "--json", str(path)]) == 0
    assert measured == [("start/import", (OURS,), 2), ("start/predict", (OURS,), 2)]
    assert list(json.loads(path.read_text(encoding="utf-8"))["workloads"]) == [
        "start/import",
        "start/predict",
    ]
    out, err = capsys.readouterr()
    assert "| start/import | 0.10 (0.10 to 0.10; 3 of 3) ✓ ≤ 0.3 | 40 |" in out
    assert "[2/2] start/predict: round 1; about 1 min left" in err
    assert "90 % of this machine is busy" in err


def test_some_works_are_measured_again_and_the_others_kept(measured, tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert command.main([*ALONE, "--rounds", "2", "--json", str(path)]) == 0
    arguments = ["--engines", OURS, "--only", "start/import", "--again", "--json", str(path)]
    assert command.main(arguments) == 0
    assert [name for name, *_ in measured] == ["start/import", "start/predict", "start/import"]
    results = json.loads(path.read_text(encoding="utf-8"))
    assert list(results["workloads"]) == ["start/import", "start/predict"]
    assert results["again"] == ["start/import"]
    assert "measured again at that date, the others before: start/import" in capsys.readouterr().out


def test_an_earlier_run_is_shown_again(measured, tmp_path, capsys):
    path = tmp_path / "bench.json"
    with pytest.raises(SystemExit, match="2"):
        command.main(["--show", "--json", str(path)])
    assert command.main([*ALONE, "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    path.write_text(path.read_text(encoding="utf-8").replace('"workloads"', '"works"'), encoding="utf-8")
    assert command.main(["--show", "--json", str(path)]) == 0
    assert capsys.readouterr().out == printed
    assert len(measured) == 2


def test_disagreement_is_exit_code_1_and_keeps_what_was_measured(measured, monkeypatch, tmp_path, capsys):
    def measure(workload, *_):
        if workload.name == "start/predict":
            raise DisagreementError("score of good: torch gives nothing, minidistil [1]")
        return STARTED

    monkeypatch.setattr(command, "measure", measure)
    path = tmp_path / "bench.json"
    assert command.main([*ALONE, "--json", str(path)]) == 1
    assert "benchmark failed: start/predict: score of good: torch gives nothing" in capsys.readouterr().err
    assert list(json.loads(path.read_text(encoding="utf-8"))["workloads"]) == ["start/import"]


def test_interruption(measured, monkeypatch, tmp_path, capsys):
    def measure(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "measure", measure)
    assert command.main([*ALONE, "--json", str(tmp_path / "bench.json")]) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_missing_extra_is_named_with_its_remedy(measured, monkeypatch, capsys):
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    assert command.main(["--only", "start"]) == 3
    message = "not installed: onnx, onnxruntime, torch, transformers. Run: pip install -e '.[bench]'\n"
    assert capsys.readouterr().err == message
    assert command.missing([Engine.parse(OURS)]) == []
    assert measured == []


def test_list_and_usage(capsys):
    assert command.main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(WORKLOADS)
    for wrong in (
        ["--only", "nothing"],
        ["--rounds", "0"],
        ["--engines", "tensorflow"],
        ["--engines", OURS, OURS],
    ):
        with pytest.raises(SystemExit, match="2"):
            command.main(wrong)


def test_rounds(measured, tmp_path):
    for arguments in (["--quick"], []):
        command.main([*ALONE, *arguments, "--json", str(tmp_path / "bench.json")])
    assert [rounds for _, _, rounds in measured] == [3, 3, 7, 7]


def test_the_machine_is_described():
    described = machine.describe()
    assert described["cores"] >= 1
    assert described["versions"]["numpy"] != "absent"
    assert described["busy"] is None or 0 <= described["busy"] <= 1

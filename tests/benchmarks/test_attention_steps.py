"""The steps of docs/attention-kernel.md: each computes attention, and one that does not is never timed."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import attention_heads, attention_steps, steps
from benchmarks.attention_heads import over_jobs, rows
from benchmarks.attention_steps import BIAS_STEPS, LADDERS, STEPS, Operands, error, main
from minidistil.kernels.engine.native import LANES, MR, NR

ROOT = Path(attention_steps.__file__).parents[1]

# Lengths: one token; below, at and above a tile's rows and a block of queries; several blocks.
LENGTHS = (1, MR, MR + 1, NR, NR + 1, 3 * NR + 7)


@pytest.fixture(scope="module", params=[1, 3], ids=["narrow", "wide"])
def operands(request):
    return Operands(LENGTHS, 2, request.param * LANES)


@pytest.mark.parametrize("step", dict.fromkeys([*STEPS, *BIAS_STEPS]), ids=lambda step: step.name)
def test_every_step_computes_attention(step, operands):
    assert error(step, operands) <= 1


@pytest.mark.parametrize("forgets", ["a head", "the last query", "the scale"])
def test_a_wrong_result_is_noticed_and_not_timed(forgets, monkeypatch):
    def run(o):
        a = o.arrays["forward"]
        if forgets == "the scale":
            a = a._replace(qkv=a.qkv * np.float32(1.1))
        over_jobs(rows, a, 0, o.jobs - (forgets == "a head"))
        if forgets == "the last query":
            a.out[-1] = a.out[-2]
        return a.out

    wrong = dataclasses.replace(STEPS[0], run=run)
    assert not error(wrong, Operands((5, 9), 2, LANES)) <= 1
    monkeypatch.setattr(attention_steps, "STEPS", (wrong,))
    monkeypatch.setattr(steps, "measure", lambda *_: pytest.fail("timed"))
    with pytest.raises(SystemExit, match="loops computes a wrong result"):
        main(["--lengths", "5", "9", "--steps", "loops"])


def test_a_gradient_is_held_to_all_three_parts():
    o = Operands((9,), 1, LANES)
    right = next(step for step in STEPS if step.name == "again")
    for part in range(3):

        def run(o, part=part):
            dqkv = right.run(o)
            dqkv[:, part] *= np.float32(1.01)
            return dqkv

        assert not error(dataclasses.replace(right, run=run), o) <= 1


def test_the_gradient_of_a_bias_is_checked_too():
    o = Operands((9, 4), 1, LANES)
    right = BIAS_STEPS[-1]

    def run(o):
        dqkv = right.run(o)
        o.dbias[0, 3] *= np.float32(1.01)
        return dqkv

    assert error(right, o) <= 1
    assert not error(dataclasses.replace(right, run=run), o) <= 1


def test_report(monkeypatch, capsys):
    monkeypatch.setattr(steps, "TURN", 1e-3)
    monkeypatch.setattr(steps, "PAUSE", 0)
    monkeypatch.setattr(steps, "COUNT", 10)
    monkeypatch.setattr(steps.machine, "busy_share", lambda: None)
    arguments = ["--lengths", "5", "9", "--rounds", "1", "--steps", "kernel-back-all", "rows"]
    main([*arguments, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["lengths"] == [5, 9]
    assert set(report["gflops"]) == {"peak", "peak-all", "rows", "kernel-back-all"}
    assert all(np.isfinite(rate) and rate > 0 for rate in report["gflops"].values())
    main(["--lengths", "5", "9", "--rounds", "1", "--bias", "--json"])
    shown = json.loads(capsys.readouterr().out)["gflops"]
    assert set(shown) == {"peak", "peak-all", "kernel", "kernel-bias", "kernel-back", "kernel-back-bias"}
    with pytest.raises(SystemExit):
        main(["--width", str(LANES + 1)])
    assert f"expected a multiple of {LANES}" in capsys.readouterr().err


def test_backward_counts_five_products():
    assert {step.work for step in LADDERS["backward"]} == {2.5}
    assert {step.work for step in (*LADDERS["forward"], *LADDERS["dropout"])} == {1.0}
    assert Operands((2, 3), 2, LANES).operations == 4 * (4 + 9) * 2 * LANES


def test_the_page_quotes_code_and_steps_that_exist():
    page = (ROOT / "docs" / "attention-kernel.md").read_text(encoding="utf-8")
    kernels = ROOT / "minidistil" / "kernels"
    sources = [attention_heads.__file__, attention_steps.__file__, *kernels.rglob("*.py")]
    lines = {line for source in sources for line in Path(source).read_text(encoding="utf-8").splitlines()}
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    quoted = [line for block in blocks if ">>>" not in block for line in block.splitlines()]
    assert quoted
    assert set(quoted) <= lines
    tables = re.findall(r"^\| step \|.*?(?=\n\n)", page, re.DOTALL | re.MULTILINE)
    named = [row.split(" | ")[0].strip("| ") for table in tables for row in table.splitlines()[2:]]
    assert set(named) == {step.name for step in (*STEPS, *BIAS_STEPS)}
    assert named[: len(STEPS)] == [step.name for step in STEPS]

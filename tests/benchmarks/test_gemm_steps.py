"""The steps of docs/gemm.md: each computes the product, and one that does not is never timed."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gemm_steps, steps
from benchmarks.gemm_steps import DEPTH, STEPS, Operands, error, main, rows
from minidistil.kernels.engine.native import MR, NR

ROOT = Path(gemm_steps.__file__).parents[1]

# One number; all smaller than a tile; exactly a tile; edges on every side; more k than a block has.
SIZES = [(1, 1, 1), (3, 2, 5), (MR, 16, NR), (2 * MR + 1, 23, 3 * NR + 17), (7, DEPTH + 3, 50)]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_step_computes_the_product(step):
    for size in SIZES:
        assert error(step, Operands(*size)) <= 1, size


@pytest.mark.parametrize("forgets", ["a row", "a column", "a k"])
def test_a_wrong_product_is_noticed_and_not_timed(forgets, monkeypatch):
    def run(o):
        if forgets == "a row":
            rows(o.a[:-1], o.b, o.c[:-1])
        elif forgets == "a column":
            o.c[:, :-1] = o.a @ o.b[:, :-1]
        else:
            o.c[:] = o.a[:, :-1] @ o.b[:-1]

    wrong = dataclasses.replace(STEPS[0], run=run)
    assert not error(wrong, Operands(15, 37, 33)) <= 1
    monkeypatch.setattr(gemm_steps, "STEPS", (wrong,))
    monkeypatch.setattr(steps, "measure", lambda *_: pytest.fail("timed"))
    with pytest.raises(SystemExit, match="textbook computes a wrong result"):
        main(["--size", "15", "37", "33", "--steps", "textbook"])


def test_report(monkeypatch, capsys):
    monkeypatch.setattr(steps, "TURN", 1e-3)
    monkeypatch.setattr(steps, "PAUSE", 0)
    monkeypatch.setattr(steps, "COUNT", 10)
    monkeypatch.setattr(steps.machine, "busy_share", lambda: None)
    arguments = ["--size", "15", "37", "33", "--rounds", "1", "--steps", "blas-all", "rows"]
    main(arguments)
    header, _, *lines = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert [line.split(" | ")[0] for line in (header, *lines)] == ["| step", "| rows", "| blas-all"]
    main([*arguments, "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["size"] == [15, 37, 33]
    assert set(report["gflops"]) == {"peak", "peak-all", "rows", "blas-all"}
    assert all(np.isfinite(rate) and rate > 0 for rate in report["gflops"].values())


def test_the_page_quotes_code_and_steps_that_exist():
    page = (ROOT / "docs" / "gemm.md").read_text(encoding="utf-8")
    sources = [gemm_steps.__file__, *(ROOT / "minidistil" / "kernels" / "gemm").glob("*.py")]
    lines = {line for source in sources for line in Path(source).read_text(encoding="utf-8").splitlines()}
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    quoted = [line for block in blocks if ">>>" not in block for line in block.splitlines()]
    assert quoted
    assert set(quoted) <= lines
    table = page[page.index("| step |") :].split("\n\n")[0].splitlines()[2:]
    assert [row.split(" | ")[0].strip("| ") for row in table] == [step.name for step in STEPS]

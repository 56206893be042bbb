"""The pages tell the truth: their examples run, their links lead somewhere, the code they quote is there."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minidistil.ops

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@every_page
def test_examples(page):
    assert doctest.testfile(str(page), module_relative=False).failed == 0


@every_page
def test_links(page):
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / path if path else page
        assert target.exists(), path
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


def test_quoted_code():
    """Python on the page of an operation is an example, or stands in `model/` word for word."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("minidistil/model/**/*.py"))
    quoted = 0
    for page in ROOT.glob("docs/ops/*.md"):
        for block in PYTHON.findall(page.read_text(encoding="utf-8")):
            if not block.startswith(">>>"):
                for line in block.splitlines():
                    assert line in code, f"{page.name}: {line}"
                    quoted += 1
    assert quoted > 0


def test_every_operation_has_a_page():
    files = {path.stem for path in Path(minidistil.ops.__file__).parent.glob("*.py")} - {"__init__", "philox"}
    files |= {"elementary"}  # exp, erf and tanh, which only the kernels have of their own
    assert files == {page.stem for page in ROOT.glob("docs/ops/*.md")}


def test_every_operation_has_a_test_by_hand():
    """The first in its file, worked in its docstring."""
    files = {path.stem for path in Path(minidistil.ops.__file__).parent.glob("*.py")} - {"__init__"}
    for name in sorted(files):
        text = (ROOT / "tests" / "ops" / f"test_{name}.py").read_text(encoding="utf-8")
        first = re.search(r"^def (test_\w+)\(.*\):\n    (.*)", text, re.MULTILINE)
        assert first[1].endswith("by_hand"), name
        assert first[2].startswith('"""'), name


def test_imports_go_one_way():
    """The command on the page of the house runs, and prints what stands there."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    command, printed = re.search(r"python - <<'END'\n(.*?)\nEND\n(.*?)\n```", page, re.DOTALL).groups()
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.rstrip() for line in done.stdout.splitlines()] == printed.splitlines()

"""Every command on a page, and in the help of a verb, is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest

from minidistil.cli.main import VERBS, _parse
from minidistil.settings import shipped

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
LINE = re.compile(r"^(?:    |\$ |  )(?:[A-Z_]+=\S+ )*(?:.*\| )?(minidistil (?:[^\\\n]|\\\n)*)$", re.MULTILINE)
ENDS = {"|", ">", "<", "2>", ">>", "&&", ";"}  # of a command in a shell


def commands(text):
    """Arguments of the commands in a text."""
    for match in LINE.finditer(text):
        line = re.sub(r"\\\n\s*", " ", match[1])
        words = shlex.split(re.split(r" +# | {4,}", line)[0])  # behind much space stands what it does
        end = next((i for i, word in enumerate(words) if word in ENDS), len(words))
        if "..." not in words[1:end]:
            yield words[1:end]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_of_a_page(page):
    for words in commands(page.read_text(encoding="utf-8")):
        check(words)


@pytest.mark.parametrize("verb", VERBS)
def test_examples_of_a_verb(verb):
    found = list(commands(VERBS[verb].EXAMPLES))
    assert any(words[0] == verb for words in found)
    for words in found:
        check(words)


def check(words):
    """Parse a command; its recipe is one that comes with the package."""
    code, args = 0, None
    try:
        args = _parse(words)
    except SystemExit as stop:  # 0 after --help
        code = stop.code
    assert code == 0, " ".join(words)
    assert getattr(args, "recipe", None) in (None, *shipped())


def test_commands_are_found():
    page = "text\n    minidistil embed a b --out \\\n        c.npy > d\n"
    page += '```\n$ minidistil tokenize m "a b"\n```\n'
    assert list(commands(page)) == [["embed", "a", "b", "--out", "c.npy"], ["tokenize", "m", "a b"]]
    piped = '    echo "a" | minidistil embed m - --json   # a comment\n    A=1 minidistil fetch\n'
    assert list(commands(piped)) == [["embed", "m", "-", "--json"], ["fetch"]]
    with pytest.raises(AssertionError):
        check(["embed", "m", "f", "--jsonn"])

"""Every number on the pages about losses is what the code prints, and every loss has a page."""

import doctest
from pathlib import Path

import pytest

import minidistil.losses

DOCS = Path(__file__).parents[2] / "docs" / "losses"
PAGES = sorted(DOCS.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples(page):
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert tried > 0
    assert failed == 0


def test_every_objective_has_a_page():
    files = {path.stem for path in Path(minidistil.losses.__file__).parent.glob("*.py")} - {
        "__init__",
        "base",
        "attention_scores",
    }
    assert files == {page.stem for page in PAGES}

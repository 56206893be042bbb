"""The page on porting without transformers: what is promised runs, and the rest fails as it says."""

import numpy as np
import porting_page as page
import pytest

import minidistil


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("porting")
    page.make_models(directory)
    return directory


@pytest.fixture(scope="module")
def names(place):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        yield page.namespace(minidistil, np.asarray)


@pytest.mark.parametrize("row", page.rows(), ids=lambda row: row[0])
def test_rows(row, names):
    _, code, words = row
    if words is None:
        page.run(code, minidistil, names)
        return
    with pytest.raises(Exception) as caught:  # of several types
        page.run(code, minidistil, names)
    assert words in str(caught.value)


@pytest.mark.parametrize("script", page.SCRIPTS, ids=["classify", "embed", "answer"])
def test_scripts(script, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    exec(page.ours_of(script), {})
    assert capsys.readouterr().out.count("\n") in (1, 4, 5)


def test_the_page_has_its_rows():
    found = page.rows()
    assert len(found) > 100
    assert sum(words is not None for _, _, words in found) > 15
    assert len(page.SCRIPTS) == 3

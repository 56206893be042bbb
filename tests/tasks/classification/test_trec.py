"""Questions as their authors hand them out."""

import pytest

from minidistil.cli.main import main
from minidistil.errors import DataError
from minidistil.tasks.classification.trec import COARSE
from minidistil.tasks.registry import named_task

LINES = (
    "DESC:manner How did it end ?\r\n\r\nENTY:cremat What films are warm ?\r\nLOC:city Where is Malmö ?\r\n"
)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
def test_files_in_either_encoding(tmp_path, encoding):
    path = tmp_path / "train.label"
    path.write_bytes(LINES.encode(encoding))
    coarse, fine = named_task("trec"), named_task("trec-fine")
    examples = coarse.read(path)
    assert examples.texts == ["How did it end ?", "What films are warm ?", "Where is Malmö ?"]
    assert examples.labels == ["DESC", "ENTY", "LOC"]
    assert examples.lines == [1, 3, 4]
    assert tuple(coarse.config_overrides(examples)["id2label"].values()) == COARSE
    assert fine.read(path).labels == ["DESC:manner", "ENTY:cremat", "LOC:city"]
    found = fine.config_overrides(fine.read(path))["id2label"]
    assert found == {
        0: "DESC:manner",
        1: "ENTY:cremat",
        2: "LOC:city",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("DESC:manner How ?\nDESC How ?\n", "line 2: a line is CLASS:kind and a question, not 'DESC How"),
        ("DESC:manner\n", "line 1: a line is CLASS:kind"),
        ("THING:any What ?\n", "line 1: there is no class 'THING': ABBR, DESC"),
        ("\n\n", "there are no examples"),
    ],
)
def test_bad_files(tmp_path, content, message, capsys):
    path = tmp_path / "train.label"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        named_task("trec").read(path)
    assert (
        main(["finetune", "-q", "x", "--task", "trec", "--train", str(path), "--out", str(tmp_path / "o")])
        == 3
    )
    assert not (tmp_path / "o").exists()

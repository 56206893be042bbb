"""Labels of a named task: as its files have them, as it calls them, as a model has them."""

from minidistil.tasks.classification.file_labels import FileLabels
from minidistil.text.labels import LabelMap

PAIRS = FileLabels({"0": "not_equivalent", "1": "equivalent"})


def test_labels_of_files_get_their_names():
    assert PAIRS.all == ("not_equivalent", "equivalent")
    assert [PAIRS.of_file(label) for label in ("1", 1, 1.0, "0", "equivalent", "2")] == [
        *("equivalent", "equivalent", "equivalent", "not_equivalent", "equivalent", "2"),
    ]


def test_a_model_may_write_them_otherwise():
    capitals, numbers = LabelMap(("EQUIVALENT", "NOT_EQUIVALENT")), LabelMap(("LABEL_0", "LABEL_1"))
    assert PAIRS.as_written(["equivalent", "other"], capitals) == ["EQUIVALENT", "other"]
    assert PAIRS.as_written(["equivalent"], numbers) == ["1"], "numbered in the task's order"
    assert (PAIRS.number("equivalent", capitals), PAIRS.number("equivalent", numbers)) == (0, 1)
    assert PAIRS.number("equivalent", LabelMap(("yes", "no"))) is None


def test_without_names_labels_are_those_of_the_files():
    none = FileLabels({})
    assert not none
    assert none.of_file("1") == "1"
    assert none.as_written(["A"], LabelMap(("a",))) == ["A"]

"""What people read of an evaluation: lines of at most 80 columns, whatever labels are called."""

from minidistil.cli.tables import class_table, confusion_table


def found(names, confusion=True):
    n = len(names)
    scores = {"precision": 0.5, "recall": 1.0, "f1": 0.25, "support": 123456}
    facts = {"classes": {name: {**scores, "f1": i / n} for i, name in enumerate(names)}}
    if confusion:
        facts["confusion"] = [[1234 * (i == j) for i in range(n)] for j in range(n)]
    return facts


def test_by_class():
    lines = class_table(found(["good", "a label that is much\ttoo long to be shown"]))
    assert lines[1].split() == ["good", "0.5000", "1.0000", "0.0000", "123,456"]
    assert lines[2].startswith("a label that is much t… ")
    assert class_table({"accuracy": 1.0}) == []
    assert class_table({"types": found(["LOC"])["classes"]})[1].startswith("LOC ")


def test_many_classes():
    lines = class_table(found([f"class {i}" for i in range(30)][::-1]))
    assert len(lines) == 22
    assert lines[1].startswith("class 29 "), "the lowest F1 first"
    assert lines[-1] == "(20 of 30 classes, those with the lowest F1; --json has all)"


def test_labels_with_areas():
    facts = found(["a", "b"], confusion=False)
    facts["classes"]["b"] |= {"auroc": 0.75, "average_precision": 0.5}
    lines = class_table(facts)
    assert lines[0].split() == ["precis.", "recall", "f1", "number", "auroc", "av.prec."]
    assert lines[1].split()[-1] == "123,456"
    assert lines[2].split()[-2:] == ["0.7500", "0.5000"]
    assert confusion_table(facts) == []


def test_confusion():
    lines = confusion_table(found(["good", "bad"]))
    assert [line.split() for line in lines[1:]] == [["good", "1234", "0"], ["bad", "0", "1234"]]
    for n in range(2, 40):
        lines = confusion_table(found([f"a rather long label {i}" for i in range(n)]))
        assert all(len(line) <= 80 for line in lines)
        assert (len(lines) > 0) == (n <= 9)

"""`predict`: which labels, which texts, pairs, files, and where texts may stand."""

import json

import pytest
from tiny import LABELS, make_classifier

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.errors import InputError, UsageError

TEXTS = ["the film is warm", "a dull plot", "funny"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(make_classifier(tmp_path_factory.mktemp("predict")))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    labels = {0: "low", 1: "middle", 2: "high"}
    return str(make_classifier(tmp_path_factory.mktemp("three"), id2label=labels))


@pytest.fixture
def say(capsys):
    def run(*arguments):
        assert main(["predict", *map(str, arguments)]) == 0
        lines = capsys.readouterr().out.splitlines()
        read = json.loads if "--json" in arguments else lambda line: line.split("\t")
        return [read(line) for line in lines]

    return run


def test_the_most_likely_labels(three, say):
    (found,) = pipeline("text-classification", three)(TEXTS[0])
    order = sorted(found.scores, key=lambda name: -found.scores[name])
    rows = say(three, TEXTS[0], "--top-k", 2)
    assert [row[0] for row in rows] == order[:2]
    assert [row[1] for row in rows] == [f"{found.scores[name]:.4f}" for name in order[:2]]
    (facts,) = say(three, TEXTS[0], "--top-k", 9, "--json")
    assert facts["top"] == [{"label": name, "score": found.scores[name]} for name in order]
    assert set(facts["scores"]) == set(order)


def test_a_threshold(model, say):
    (found,) = pipeline("text-classification", model)(TEXTS[0])
    assert say(model, TEXTS[0], "--threshold", found.score)[0][0] == found.label
    assert say(model, TEXTS[0], "--threshold", found.score + 1e-6)[0][:1] == ["none"]
    assert found.label in LABELS.values()


def test_pairs(model, say):
    found = pipeline("text-classification", model)(TEXTS, ["the cast"] * 3)
    rows = say(model, *TEXTS, "--pair", "the cast")
    assert [row[1] for row in rows] == [f"{p.score:.4f}" for p in found]
    assert [row[2:] for row in rows] == [[text, "the cast"] for text in TEXTS]
    alone = pipeline("text-classification", model)(TEXTS)
    assert [p.score for p in alone] != [p.score for p in found]
    facts = say(model, TEXTS[0], "--pair", "the cast", "--json")
    assert (facts[0]["text"], facts[0]["pair"]) == (TEXTS[0], "the cast")
    assert pipeline("text-classification", model)([""], ["the cast"])[0].label in LABELS.values()
    with pytest.raises(InputError, match="3 texts but 2 second texts"):
        pipeline("text-classification", model)(TEXTS, ["a", "b"])


def test_files(model, say, tmp_path, monkeypatch, capsys):
    path = tmp_path / "a.csv"
    table = '\ufeffid,first,second\r\n\r\n1,"the film\r\nis warm",a cast\r\n2,a dull plot,grim\r\n'
    path.write_bytes(table.encode())
    monkeypatch.setattr("minidistil.cli.predict.TEXTS_AT_ONCE", 1)
    alone = say(model, "--data", path, "--text-column", "first", "--json")
    assert [(row["line"], row["text"]) for row in alone] == [(3, "the film\r\nis warm"), (5, "a dull plot")]
    expected = pipeline("text-classification", model)(TEXTS[:2])
    assert [row["label"] for row in alone] == [p.label for p in expected]
    both = say(model, "--data", path, "--text-column", "first", "--pair-column", "second", "--json")
    assert [row["pair"] for row in both] == ["a cast", "grim"]
    expected = pipeline("text-classification", model)(TEXTS[:2], ["a cast", "grim"])
    assert [row["score"] for row in both] == pytest.approx([p.score for p in expected], rel=1e-6)
    (tmp_path / "b.dat").write_text("text\nfunny\n")
    assert say(model, "--data", tmp_path / "b.dat", "--format", "csv")[0][2] == "funny"
    pairs = tmp_path / "c.tsv"
    pairs.write_text("sentence1\tsentence2\na\tb\n")
    assert say(model, "--data", pairs)[0][2:] == ["a", "b"], "columns with usual names are found"
    bare = tmp_path / "d.tsv"
    bare.write_text("a film\t1\na plot\t0\n")
    rows = say(model, "--data", bare, "--no-header", "--text-column", "0")
    assert [row[2] for row in rows] == ["a film", "a plot"]
    some = tmp_path / "e.jsonl"
    some.write_text('{"text": "a film", "label": 1}\n{"text": "a plot"}\n')
    assert [row[2] for row in say(model, "--data", some)] == ["a film", "a plot"], "labels mean nothing here"
    twice = tmp_path / "f.csv"
    twice.write_text("text,text\na,b\n")
    assert main(["predict", str(model), "--data", str(twice)]) == 3
    assert "line 1: two columns are called 'text'" in capsys.readouterr().err
    assert main(["predict", str(model), "--data", str(pairs), "--pair", "c"]) == 2
    assert "has second texts of its own" in capsys.readouterr().err


def test_texts_stand_anywhere(model, say):
    rows = say(model, "--threshold", "0", TEXTS[0], "--top-k", "1", TEXTS[1], "--", "-5 -")
    assert [row[2] for row in rows] == [TEXTS[0], TEXTS[1], "-5 -"]


def test_what_is_refused(model, tmp_path, capsys):
    regression = str(make_classifier(tmp_path, problem_type="regression", id2label={0: "score"}))
    path = tmp_path / "a.csv"
    path.write_text("text,other\na,b\n,c\n")
    for code, message, *arguments in (
        (2, "take one of them", model, "a", "--data", path),
        (2, "say how --data is read", model, "a", "--format", "csv"),
        (2, "not both", model, "--data", path, "--pair", "a", "--pair-column", "other"),
        (2, "from 0 to 1, not 1.5", model, "a", "--threshold", "1.5"),
        (2, "a model of a number has no threshold", regression, "a", "--threshold", "0.5"),
        (2, "--top-k must be at least 1, not 0", model, "a", "--top-k", "0"),
        (2, "--vectors goes with --task intents or faq", model, "a", "--vectors", "v.npy"),
        (3, "no column 'texts'", model, "--data", path, "--text-column", "texts"),
    ):
        assert main(["predict", *map(str, arguments)]) == code, message
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
    for verb, unknown in (("predict", "--tresh"), ("inspect", "b")):
        with pytest.raises(SystemExit) as stop:
            main([verb, model, *(["a"] if verb == "predict" else []), unknown])
        assert stop.value.code == 2
        assert f"unrecognized arguments: {unknown}\n" in capsys.readouterr().err
    with pytest.raises(UsageError):
        pipeline("text-classification", model)("a", threshold=-0.1)

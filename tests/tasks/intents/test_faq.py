"""Answers to questions that were asked before: files, numbers, objects and the command line."""

import json

import numpy as np
import pytest
from tiny import make_encoder

from minidistil import pipeline
from minidistil.cli.main import main
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.vector_files import write_vectors
from minidistil.errors import DataError, InputError, UsageError
from minidistil.tasks.intents.faq import FaqSettings, FaqTask
from minidistil.tasks.intents.nearest import NearestPredictor

ENTRIES = [
    ("is the film warm", "Yes, it is."),
    ("is the plot dull", "A little."),
    ("is the plot tired", "A little."),
    ("who is the cast", "Look it up."),
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("faq")))


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "faq.jsonl", ENTRIES)


def write(path, rows):
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in rows))
    return path


def test_a_question_finds_its_own_answer(encoder, file):
    ask = pipeline("faq", encoder, entries=file)
    assert isinstance(ask, NearestPredictor)
    for found, (question, answer) in zip(ask([q for q, _ in ENTRIES]), ENTRIES, strict=True):
        assert found.answer == answer
        assert found.score == pytest.approx(1)
        assert found.candidates[0].question == question
        assert ENTRIES[found.candidates[0].entry] == found.candidates[0][2::-2]
        assert [c.answer for c in found.candidates].count("A little.") == 1, "an answer is found once"
        assert [c.score for c in found.candidates] == sorted(
            (c.score for c in found.candidates), reverse=True
        )
    assert ask([]) == []
    (one,) = ask("is the film dull", top_k=1)
    assert one.candidates == ask(["who", "is the film dull"])[1].candidates[:1], "company means nothing"
    assert pipeline("faq", encoder, entries=ENTRIES)("is the film dull") == ask("is the film dull")


def test_the_threshold(encoder):
    ask = pipeline("faq", encoder, entries=ENTRIES, threshold=0.9999)
    (near,) = ask("is the clumsy grim bright funny")
    assert near.answer is None
    assert near.candidates[0].answer in dict(ENTRIES).values()
    assert ask("is the film warm")[0].answer == "Yes, it is."
    assert ask("of of of", threshold=ask("of of of")[0].score)[0].answer is not None, "at it is not below it"
    assert ask("is the clumsy grim bright funny", threshold=-1)[0].answer == near.candidates[0].answer


def test_vectors_are_used_again(encoder, file, tmp_path, monkeypatch):
    first = pipeline("faq", encoder, entries=file, answers=True)
    assert first.vectors.shape == (8, 24)
    write_vectors(tmp_path / "v.npy", first.vectors)
    encoded = []
    encode = SentenceEncoder.encode
    monkeypatch.setattr(
        SentenceEncoder,
        "encode",
        lambda self, texts, **o: encoded.append(list(texts)) or encode(self, texts, **o),
    )
    again = pipeline("faq", encoder, entries=file, answers=True, vectors=tmp_path / "v.npy")
    assert [len(texts) for texts in encoded] == [8], "of so few vectors all are compared"
    assert again("the plot") == first("the plot")
    with pytest.raises(InputError, match="8 vectors of 24 numbers; 4 of 24 are expected"):
        pipeline("faq", encoder, entries=file, vectors=first.vectors)


def test_answers_can_be_compared_with(encoder):
    (found,) = pipeline("faq", encoder, entries=ENTRIES, answers=True)("Look it up.")
    assert (found.answer, found.candidates[0].question, found.candidates[0].entry) == (
        "Look it up.", "who is the cast", 3,
    )  # fmt: skip
    assert found.score == pytest.approx(1)


def test_measured(encoder, file, tmp_path, capsys):
    asked = write(tmp_path / "asked.jsonl", [*ENTRIES, ("of of of", None), ("and with", "none")])
    task = FaqTask(settings=FaqSettings(entries=str(file), threshold=0.999))
    found = task.evaluate_saved(encoder, task.read(asked))
    assert found["accuracy"] == found["mrr_at_10"] == found["auroc"] == found["accuracy_with_none"] == 1
    arguments = ["evaluate", encoder, "--task", "faq", "--entries", str(file), "--data", str(asked), "-q"]
    assert main([*arguments, "--set", "task.threshold=0.999", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in shown.items() if k not in ("task", "examples")} == pytest.approx(found)
    assert main(arguments) == 0
    assert all(len(line) <= 80 for line in capsys.readouterr().out.splitlines())


def test_the_right_answer_may_be_named_by_its_question(tmp_path):
    file = write(tmp_path / "faq.jsonl", [*ENTRIES, ("A little.", "Not so.")])
    rows = [("x", "A little."), ("y", " is the plot tired"), ("z", ""), ("w", "is the film warm")]
    task = FaqTask()
    numbers = task.class_numbers(task.read(write(tmp_path / "asked.jsonl", rows)), task.read_entries(file))
    assert numbers.tolist() == [1, 1, -1, 0]


def test_an_answer_may_be_none(tmp_path):
    rows = [("who came", "None"), ("who went", "All")]
    task, file = FaqTask(), write(tmp_path / "faq.jsonl", rows)
    asked = write(tmp_path / "asked.jsonl", [*rows, ("what", "none"), ("why", None)])
    assert task.class_numbers(task.read(asked), task.read_entries(file)).tolist() == [0, 1, -1, -1]


def test_the_command_line(encoder, file, capsys):
    base = ["predict", encoder, "--task", "faq", "--entries", str(file)]
    assert main([*base, "is the film warm", "--", "-dull"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["Yes, it is.", "1.0000", "is the film warm"]
    assert lines[1][2] == "-dull"
    assert main([*base, "--threshold", "0.9999", "of of of", "--json", "--top-k", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"] is None
    assert len(found["candidates"]) == 2
    assert main([*base, "of of of", "--threshold", "0.9999"]) == 0
    assert capsys.readouterr().out.startswith("none\t")
    assert main([*base, "is the film warm", "--top-k", "3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["Yes, it is.", "1.0000", "is the film warm", "is the film warm"]
    assert len(lines) == 3


def test_a_conversation(encoder, file, capsys, monkeypatch):
    typed = iter(["is the film warm", "  ", "who is the cast"])

    def line():
        for text in typed:
            return text
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", line)
    assert main(["predict", encoder, "--task", "faq", "--entries", str(file)]) == 0
    assert [x.split("\t")[0] for x in capsys.readouterr().out.splitlines()] == ["Yes, it is.", "Look it up."]


def test_a_prompt_goes_before_questions_and_entries(encoder, file, tmp_path, capsys):
    """A text, or the name of one in the directory; vectors made without it are not those."""
    expected = pipeline("faq", encoder, entries=file, prompt="the plot ")("the film")[0].score
    place = tmp_path / "encoder"
    SentenceEncoder.from_pretrained(encoder, prompts={"query": "the plot "}).save(place)
    vectors = tmp_path / "v.npy"
    assert (
        main(["embed", str(place), str(file), "--text-column", "question", "--out", str(vectors), "-q"]) == 0
    )
    asked = ["predict", str(place), "--task", "faq", "--entries", str(file), "--json", "-q", "the film"]
    for prompt in ("query", "the plot "):
        assert main([*asked, "--prompt", prompt]) == 0
        assert json.loads(capsys.readouterr().out)["score"] == pytest.approx(expected)
    assert main([*asked, "--vectors", str(vectors)]) == 0
    assert json.loads(capsys.readouterr().out)["score"] != pytest.approx(expected, abs=1e-4)
    assert main([*asked, "--vectors", str(vectors), "--prompt", "query"]) == 3
    assert "v.npy: row 0 is not the vector that this encoder makes of" in capsys.readouterr().err


def test_a_number_may_be_an_answer(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"question": "how many", "answer": 42}\n{"question": "who", "answer": " Her. "}\n')
    assert FaqTask().read_entries(path).labels == ["42", " Her. "]
    path.write_text('{"question": "how many", "answer": ["a", "b"]}\n')
    with pytest.raises(DataError, match="line 1: one label is expected"):
        FaqTask().read_entries(path)


def test_what_is_refused(encoder, file, tmp_path, capsys):
    empty = write(tmp_path / "empty.jsonl", [("a", "b"), ("c", " ")])
    no_answers = tmp_path / "no.csv"
    no_answers.write_bytes(b"\xef\xbb\xbfquestion,reply\r\na,b\r\n")
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("\n\n")
    lost = write(tmp_path / "lost.jsonl", [("a", "A little."), ("b", "No such answer")])
    outside = write(tmp_path / "outside.jsonl", [("a", None)])
    predict, entries = ["predict", encoder, "a", "--task", "faq"], ["--entries", str(file)]
    evaluate = ["evaluate", encoder, "--task", "faq", "-q", "--data"]
    for code, message, arguments in (
        (3, "empty.jsonl, line 2: the answer is empty", [*predict, "--entries", empty]),
        (3, "no column 'answer'. There are: question, reply", [*predict, "--entries", no_answers]),
        (3, "there are no examples in it", [*predict, "--entries", nothing]),
        (3, "lost.jsonl, line 2: 'No such answer' is neither an answer nor", [*evaluate, lost, *entries]),
        (3, "no question has an answer", [*evaluate, outside, *entries]),
        (2, "faq needs entries", predict),
        (2, "faq needs entries", [*evaluate, file]),
        (2, "--entries goes with --task intents or faq", ["predict", encoder, "a", *entries]),
        (2, "--answers goes with --task faq", [*predict[:-1], "intents", *entries, "--answers"]),
        (2, "--prompt goes with --task", ["predict", encoder, "a", "--prompt", "query"]),
        (2, "there is no prompt 'query'", [*predict, *entries, "--prompt", "query"]),
        (2, "does not take --question", [*predict, *entries, "--question", "b"]),
        (2, "--top-k must be at least 1", [*predict, *entries, "--top-k", "0"]),
        (2, "vectors are kept in", [*predict, *entries, "--vectors", "v.txt"]),
        (
            3,
            "no setting task.entries",
            ["evaluate", encoder, "--task", "sst2", "--data", file, *entries],
        ),
    ):
        assert main([*map(str, arguments)]) == code, message
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
    for entries in ([("a",)], [("a", "b", "c")], [(" ", "b")], [("a", "")], [(5, "b")]):
        with pytest.raises(InputError, match="entry 0 must be two texts"):
            pipeline("faq", encoder, entries=entries)
    with pytest.raises(InputError, match="no entries"):
        pipeline("faq", encoder, entries=[])
    with pytest.raises(UsageError, match="top_k must be an integer of at least 1"):
        pipeline("faq", encoder, entries=file)("a", top_k=0)
    with pytest.raises(DataError):
        pipeline("faq", encoder, entries="none.jsonl")


def test_intents_from_pairs(encoder):
    predict = pipeline(
        "intents", encoder, entries=[("of", "none"), ("warm film", "good"), ("dull plot", "bad")]
    )
    (found,) = predict("dull plot")
    assert (found.label, found.candidates[0].example) == ("bad", "dull plot")
    assert {c.label for c in found.candidates} == {"good", "bad"}
    assert predict("dull plot", threshold=1.1)[0].label == "none"
    assert np.isfinite(predict.threshold)

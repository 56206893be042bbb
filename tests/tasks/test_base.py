"""Predictors for tokens and questions: exact characters, any company, any length, and the command line."""

import json

import pytest
from tiny import CONFIG, make_classifier, make_tokenizer, predictor_of

from minidistil.cli.main import main
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.model import BertForQuestionAnswering, BertForTokenClassification, BertModel
from minidistil.tasks.classification.task import ClassificationTask
from minidistil.tasks.question_answering.task import QuestionAnsweringTask
from minidistil.tasks.registry import pipeline
from minidistil.tasks.token_classification.task import TokenClassificationTask

TEXTS = ["The FILM is warm", "", "a plot " * 40, "funny  film,\tlovely cast"]
TAGS = {0: "O", 1: "B-FUN", 2: "I-FUN", 3: "B-SAD", 4: "I-SAD"}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    here = tmp_path_factory.mktemp("kinds")
    tokenizer = make_tokenizer(here / "vocabulary")
    models = {
        "tokens": BertForTokenClassification(CONFIG.replace(id2label=TAGS), seed=5),
        "questions": BertForQuestionAnswering(CONFIG, seed=6),
        "bare": BertModel(CONFIG, seed=7),
    }
    for name, model in models.items():
        model.save_pretrained(here / name, tokenizer=tokenizer)
    return here


def test_entities(places):
    find = pipeline("token-classification", places / "tokens")
    assert isinstance(find.task, TokenClassificationTask)
    together = find(TEXTS)
    assert sum(map(len, together)) > 2
    assert find([]) == []
    for text, entities in zip(TEXTS, together, strict=True):
        assert all(e.text == text[e.start : e.end] and e.type in ("FUN", "SAD") for e in entities)
        alone = find(text)[0]
        assert [e[:2] + e[3:] for e in alone] == [e[:2] + e[3:] for e in entities]
        assert [e.score for e in alone] == pytest.approx([e.score for e in entities], rel=1e-5)
    assert {e.type for e in find(TEXTS[0], aggregation="none")[0]} <= set(TAGS.values())


def test_answers(places):
    answer = pipeline("question-answering", places / "questions")
    found = answer(["the film"] * 4, TEXTS)
    for text, answers in zip(TEXTS, found, strict=True):
        assert all(a.text == text[a.start : a.end] for a in answers.candidates)
        assert len(answers.candidates) <= 5
    assert answer([], []) == []
    assert found[1].best == ("", 1.0, 0, 0)
    assert answer("the film", TEXTS[2])[0].best[2:] == found[2].best[2:]
    nothing = answer("the film", TEXTS[0], null_threshold=-1e9)[0]
    assert nothing.best.text == ""
    with pytest.raises(InputError, match="1 texts but 2 questions"):
        answer(["a", "b"], ["c"])


def test_the_head_says_what_is_done(places, tmp_path):
    assert isinstance(predictor_of(places / "tokens").task, TokenClassificationTask)
    assert isinstance(predictor_of(places / "questions").task, QuestionAnsweringTask)
    with pytest.raises(ConfigError, match="BertModel has no head to predict with"):
        predictor_of(places / "bare")
    with pytest.raises(ConfigError, match="does not classify tokens"):
        pipeline("token-classification", make_classifier(tmp_path))
    with pytest.raises(ConfigError, match="does not answer questions"):
        pipeline("question-answering", places / "tokens")
    with pytest.raises(UsageError, match="did you mean summarization"):
        pipeline("summaries", places / "tokens")


def test_tasks_by_the_names_that_files_have(places, tmp_path):
    encoder = str(make_classifier(tmp_path))
    assert isinstance(pipeline("conll2003", places / "tokens").task, TokenClassificationTask)
    assert isinstance(pipeline("squad", places / "questions").task, QuestionAnsweringTask)
    assert isinstance(pipeline("sst2", encoder).task, ClassificationTask)
    encode = pipeline("embeddings", places / "bare")
    assert encode("a film").shape == (CONFIG.hidden_size,)
    assert (encode(["a film", "a plot"])[0] == encode("a film")).all()


def test_what_is_no_text(places, tmp_path):
    classify, find = pipeline("sst2", make_classifier(tmp_path)), pipeline("conll2003", places / "tokens")
    for given in ([None], [3], [["a"]], {"review": "a film"}, {"text": 3}, b"a film"):
        for predict in (classify, find):
            with pytest.raises(InputError):
                predict(given)


def test_questions_in_a_file(places, tmp_path, capsys):
    """Contexts and questions side by side, or SQuAD's file; or one question for all contexts."""
    rows = [("The film is warm", "what film"), ("a plot", "the plot")]
    questions = [{"id": q, "question": q} for _, q in rows]
    paragraphs = [{"context": c, "qas": [q]} for (c, _), q in zip(rows, questions, strict=True)]
    (tmp_path / "a.csv").write_text("context,question\n" + "".join(f"{c},{q}\n" for c, q in rows))
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"question": q, "context": c}) + "\n" for c, q in rows)
    )
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    for name in ("a.csv", "a.jsonl", "a.json"):
        arguments = ["predict", str(places / "questions"), "--data", str(tmp_path / name), "--json"]
        assert main(arguments) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(f["context"], f["question"]) for f in found] == rows
        assert main([*arguments, "--question", "who"]) == 0
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [(f["context"], f["question"]) for f in found] == [(context, "who") for context, _ in rows]
    (tmp_path / "b.txt").write_text("a film\na plot\n")
    arguments = ["predict", str(places / "questions"), "--data", str(tmp_path / "b.txt"), "--json"]
    assert main([*arguments, "--question", "who"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [f["context"] for f in found] == ["a film", "a plot"]
    assert main(arguments) == 3
    assert "no column 'question'" in capsys.readouterr().err
    (tmp_path / "c.csv").write_text("question\na\n")
    assert main(["predict", str(places / "questions"), "--data", str(tmp_path / "c.csv")]) == 3
    assert "which column holds the text" in capsys.readouterr().err


def test_the_command_line(places, capsys):
    tokens, questions = str(places / "tokens"), str(places / "questions")
    assert main(["predict", tokens, TEXTS[0], TEXTS[3], "--json"]) == 0
    for text, line in zip((TEXTS[0], TEXTS[3]), capsys.readouterr().out.splitlines(), strict=True):
        found = json.loads(line)
        assert found["text"] == text
        assert all(e["text"] == text[e["start"] : e["end"]] for e in found["entities"])
    assert main(["predict", tokens, TEXTS[2]]) == 0
    for line in capsys.readouterr().out.splitlines():
        kind, _, start, end, text = line.split("\t")
        assert kind in ("FUN", "SAD")
        assert TEXTS[2][int(start) : int(end)] == text
    assert main(["predict", questions, TEXTS[0], "--question", "the film", "--n-best", "3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    asked = ["predict", questions, "--question", "the film", "--null-threshold", "-1000"]
    assert main([*asked, TEXTS[0], "\u200b", "--n-best", "3"]) == 0
    verdicts = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[3] for line in verdicts] == ["", ""], "no answer is said, once for each text"
    assert all(TEXTS[0][int(start) : int(end)] == text for _, start, end, text in lines)
    assert main(["predict", questions, "--question", "the film", TEXTS[0], "-q", TEXTS[3], "--json"]) == 0
    found = [json.loads(line)["context"] for line in capsys.readouterr().out.splitlines()]
    assert found == [TEXTS[0], TEXTS[3]], "texts may stand after options"
    assert main(["predict", questions, "", TEXTS[0], "--question", "the film", "--json"]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["text"], first["null_odds"]) == ("", None)
    assert second["context"] == TEXTS[0]
    assert main(["predict", questions, TEXTS[0]]) == 2
    assert "needs --question" in capsys.readouterr().err
    assert main(["predict", tokens, TEXTS[0], "--question", "who"]) == 2
    assert "does not take --question" in capsys.readouterr().err


def test_lines_are_typed_at_a_terminal(places, capsys, monkeypatch):
    typed = iter([TEXTS[0], "", "half of a pair: \udcff", TEXTS[3]])

    def line():
        for text in typed:
            return text
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", line)
    assert main(["predict", str(places / "tokens"), "--json"]) == 0
    shown = capsys.readouterr()
    assert [json.loads(answer)["text"] for answer in shown.out.splitlines()] == [TEXTS[0], TEXTS[3]]
    said = "minidistil predict: texts[0] holds half of a surrogate pair, which is not text"
    assert shown.err == f"One text a line; Ctrl-D ends.\n> > > {said}\n> > \n", "prompts are no answers"

"""Question answering from files to answers: reading, positions, both versions of SQuAD, a whole run."""

import json

import numpy as np
import pytest
import window_toy
from tiny import BAD, CONFIG, GOOD, make_encoder, make_tokenizer

from minidistil import BertConfig
from minidistil.cli.main import main
from minidistil.errors import DataError, InputError
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.model import BertForQuestionAnswering, load_model
from minidistil.ops.philox import random_order
from minidistil.settings import load_recipe
from minidistil.tasks.data import DataSettings
from minidistil.tasks.inference import token_outputs
from minidistil.tasks.question_answering.spans import decode_answers
from minidistil.tasks.question_answering.squad import read_squad
from minidistil.tasks.question_answering.task import QuestionAnsweringTask
from minidistil.text.lengths import sequence_length
from minidistil.text.windows import cut_texts


def write_squad(path, first, n, impossible=False):
    """What is the film? Its kind word, wherever it stands; of some, none is said."""
    paragraphs = []
    for i in range(first, first + n):
        a, b, c = (int(x) for x in random_order(8, i)[:3])
        words = ["the", "film", "is", GOOD[a % 4], "and", BAD[b % 4]]
        words = [words[k] for k in random_order(6, i, 1)] if c % 2 else words
        answered = not (impossible and i % 3 == 0)
        text = " ".join(w for w in words if answered or w not in GOOD)
        answers = [{"text": w, "answer_start": text.index(w)} for w in GOOD if w in text]
        question = {"id": f"q{i}", "question": " a film ", "answers": answers}
        if impossible:
            question["is_impossible"] = not answered
        paragraphs.append({"context": text, "qas": [question]})
    path.write_text(json.dumps({"version": "x", "data": [{"title": "", "paragraphs": paragraphs}]}))
    return path


def test_reading(tmp_path):
    found = read_squad(write_squad(tmp_path / "a.json", 0, 6, impossible=True))
    assert found.ids == [f"q{i}" for i in range(6)]
    assert found.questions[0] == "a film"
    assert [bool(a) for a in found.answers] == [False, True, True, False, True, True]
    start, text = found.answers[1][0]
    assert found.contexts[1][start : start + len(text)] == text


ONE = {"id": "1", "question": "a", "answers": [{"text": "b", "answer_start": 1}]}


def squad(*questions, context="ab"):
    return {"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}


def test_answers_may_be_missing_where_no_labels_are_wanted(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(squad({"id": "1", "question": "a"})))
    with pytest.raises(DataError, match='question 1 has neither "answers" nor "is_impossible": true'):
        QuestionAnsweringTask().read(path)
    assert QuestionAnsweringTask().without_labels().read(path).answers == [[]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ([], "there are no questions"),
        (3, "not in SQuAD's format"),
        ({"data": [{"paragraphs": [{"context": "a"}]}]}, r"not in SQuAD's format.*KeyError\('qas'\)"),
        (squad(), "no questions"),
        (squad(ONE, ONE), "two questions have the id '1'"),
        (
            squad({**ONE, "answers": [{"text": "a", "answer_start": 1}]}),
            "question 1: the answer 'a' is not at",
        ),
        (squad({**ONE, "answers": [{"text": "b"}]}), 'an answer has "text" and "answer_start"'),
        (squad({**ONE, "question": None}), "question and context are texts"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_squad(path)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("length", [128, 160, 192, 384])
def test_no_answer_is_cut_by_all_windows(length):
    tokenizer, words = window_toy.make_tokenizer(), 400
    context = " ".join("abcdef"[i % 6] for i in range(words))
    task, config = (
        QuestionAnsweringTask(DataSettings(max_length=length)),
        BertConfig(max_position_embeddings=512),
    )
    windows = task.windows(tokenizer, ["a " * 60], [context], config)
    for first in range(0, words - 30, 7):
        start = np.where(windows.text_positions == first, 9.0, -9.0)
        end = np.where(windows.text_positions == first + 29, 9.0, -9.0)
        best = decode_answers(context, windows, start, end).best
        assert (best.start, best.end) == (2 * first, 2 * first + 59)


def test_windows_of_a_tokenizer_that_takes_less_than_the_model():
    tokenizer, config = window_toy.make_tokenizer('{"model_max_length": 60}'), BertConfig()
    (context,) = texts = ["a b c d e f " * 20]
    for windows in (
        QuestionAnsweringTask().windows(tokenizer, ["a"], texts, config),
        cut_texts(tokenizer, texts, sequence_length(tokenizer, config)),
    ):
        assert np.diff(windows.offsets).max() == 60
        assert windows.owned.sum() == len(context.split())


def test_positions_and_long_contexts(tokenizer, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    context = "the film " * 10 + "is warm " + "and dull " * 10
    answer = {"text": "warm", "answer_start": context.index("warm")}
    path.write_text(
        json.dumps(squad({"id": "x", "question": "a plot", "answers": [answer]}, context=context))
    )
    task = QuestionAnsweringTask(DataSettings(max_length=18))
    examples = task.read(path)
    data = task.dataset(tokenizer, examples, CONFIG)
    assert len(data) > 3
    held = 0
    for i in range(len(data)):
        batch = data.batch([i])
        start, end = batch.targets["start_positions"][0], batch.targets["end_positions"][0]
        piece = tokenizer.decode(batch.input_ids[start : end + 1], skip_special_tokens=False)
        assert piece in ("warm", "[CLS]")
        assert batch.lengths[0] <= 18
        held += piece == "warm"
    assert held >= 1
    model = BertForQuestionAnswering(CONFIG, seed=2)
    starts, ends = token_outputs(model, data, "start_logits", "end_logits")
    for i in range(len(data)):
        outputs = model.forward(data.batch([i]))[0]
        part = slice(data.offsets[i], data.offsets[i + 1])
        np.testing.assert_allclose(starts[part], outputs["start_logits"], atol=1e-6)
        np.testing.assert_allclose(ends[part], outputs["end_logits"], atol=1e-6)
    answers = task.predict(model, tokenizer, examples.questions, examples.contexts)[0]
    three = [examples.questions * 3, [context, "a film", context]]
    (_, _, (start, _)), *more = task.span_logits(model, tokenizer, *three)
    assert more == []
    np.testing.assert_allclose(start[: len(starts)], starts, atol=1e-6)
    monkeypatch.setattr("minidistil.tasks.inference.TEXTS_AT_ONCE", 2)
    parts = task.predict(model, tokenizer, *three)
    assert parts[0] == parts[2] == answers
    with pytest.raises(InputError, match=r"contexts\[2\] is not a string"):
        task.predict(model, tokenizer, ["a"] * 3, ["b", "c", None])
    assert all(a.text == context[a.start : a.end] for a in answers.candidates)


def tune(tmp_path, name, train, dev, *changes, **options):
    recipe = load_recipe(
        FineTuningRecipe,
        changes=["train.epochs=10", "train.lr=3e-3", "train.batch_size=8", "data.max_length=20", *changes],
    )
    source = options.pop("source", tmp_path / "encoder")
    return FineTuning(
        str(source), "squad", train, recipe, tmp_path / name, evaluate=dev, quiet=True, **options
    ).run()


def test_answers_are_learnt(tmp_path, capsys):
    make_encoder(tmp_path)
    train, dev = write_squad(tmp_path / "train.json", 0, 120), write_squad(tmp_path / "dev.json", 120, 30)
    found = tune(tmp_path, "one", train, dev)["models"]["model"]
    assert found["exact_match"] > 90
    assert found["f1"] >= found["exact_match"]
    model = load_model(tmp_path / "one", strict=True)
    assert isinstance(model, BertForQuestionAnswering)
    arguments = ["evaluate", "-q", str(tmp_path / "one"), "--task", "squad", "--data", str(dev), "--json"]
    assert main([*arguments, "--set", "data.max_length=20"]) == 0
    assert json.loads(capsys.readouterr().out)["f1"] == pytest.approx(found["f1"])
    taught = tune(
        tmp_path,
        "small",
        train,
        dev,
        "model.layers=even:3",
        teacher=str(tmp_path / "one"),
        source=tmp_path / "one",
    )["models"]
    assert taught["student"]["layers"] == 3
    assert taught["student"]["f1"] > 90


def test_some_questions_have_no_answer(tmp_path):
    make_encoder(tmp_path)
    train = write_squad(tmp_path / "train.json", 0, 150, impossible=True)
    dev = write_squad(tmp_path / "dev.json", 150, 45, impossible=True)
    found = tune(tmp_path, "two", train, dev)["models"]["model"]
    assert found["HasAns_total"] == 30
    assert found["NoAns_total"] == 15
    assert found["HasAns_exact"] > 80
    assert found["NoAns_exact"] > 80
    assert found["best_f1"] >= found["f1"] - 1e-9

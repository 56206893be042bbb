"""`evaluate` measures what `predict` answers, to the last bit: length, activation, labels, precision."""

import json
import logging

import numpy as np
import pytest
from tiny import BAD, CONFIG, GOOD, OTHER, make_encoder, make_tokenizer

from minidistil import metrics, pipeline
from minidistil.cli.main import main
from minidistil.embeddings.similarity import directions
from minidistil.errors import ConfigError, UsageError
from minidistil.model import BertForMultipleChoice, BertForQuestionAnswering, BertForSequenceClassification
from minidistil.model.families import load_config
from minidistil.tasks.classification.scores import answer_scores
from minidistil.tasks.registry import named_task
from minidistil.tasks.training_settings import KEY, TrainingRecord
from minidistil.text.tokenizer import Tokenizer

SIGMOID = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"}}
MODELS = {
    "single": {"id2label": {0: "bad", 1: "fair", 2: "good"}},
    "multi": {"id2label": {0: "bad", 1: "good"}, "problem_type": "multi_label_classification"},
    "regression": {"id2label": {0: "score"}, "problem_type": "regression"},
    "sigmoid": {"id2label": {0: "LABEL_0"}, "extra": SIGMOID},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def save(place, tokenizer, kind=BertForSequenceClassification, learnt=None, **changes):
    extra = {**changes.pop("extra", {}), **(learnt or TrainingRecord()).merged_into({})}
    config = CONFIG.replace(initializer_range=0.6, extra=extra, **changes)
    kind(config, seed=3).save_pretrained(place, tokenizer=tokenizer)
    return place


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def some_texts(n=30, seed=0):
    """Texts of 1 to 20 words: most are longer than 6 tokens, none than the model takes."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(GOOD + BAD + OTHER[:8], rng.integers(1, 20))) for _ in range(n)]


def evaluated(capsys, place, task, path, *more):
    assert main(["evaluate", str(place), "--task", task, "--data", str(path), "--json", "-q", *more]) == 0
    return json.loads(capsys.readouterr().out)


def predicted(capsys, place, path, *more):
    assert main(["predict", str(place), "--data", str(path), "--json", "-q", *more]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("said", [None, 9])
def test_classification(name, said, tokenizer, tmp_path, capsys):
    place = save(tmp_path / "model", tokenizer, learnt=TrainingRecord(max_length=6), **MODELS[name])
    rng, texts = np.random.default_rng(1), some_texts()
    labels = {
        "single": rng.choice(["bad", "fair", "good"], len(texts)).tolist(),
        "multi": [",".join(w for w in ("bad", "good") if rng.random() < 0.5) for _ in texts],
    }.get(name, rng.integers(0, 50, len(texts)) / 10)
    path = write(tmp_path / "a.jsonl", [{"text": t, "label": x} for t, x in zip(texts, labels, strict=True)])
    task = {"single": "classification", "multi": "multi-label"}.get(name, "regression")
    options = (
        [[], []] if said is None else [["--set", f"data.max_length={said}"], ["--max-length", str(said)]]
    )
    found = evaluated(capsys, place, task, path, *options[0])
    answers = predicted(capsys, place, path, *options[1])
    if task == "regression":
        scores = [answer["score"] for answer in answers]
        assert found["pearson"] == metrics.pearson(labels, scores)
        assert found["mse"] == metrics.mean_squared_error(labels, scores)
    elif task == "multi-label":
        right = np.array([[w in x.split(",") for w in ("bad", "good")] for x in labels])
        chosen = np.array([[w in a["label"].split(", ") for w in ("bad", "good")] for a in answers])
        scores = np.array([list(answer["scores"].values()) for answer in answers])
        assert found["f1_micro"] == metrics.multilabel_f1(right, chosen, "micro")
        assert found["classes"]["good"]["auroc"] == metrics.auroc(right[:, 1], scores[:, 1])
    else:
        assert found["accuracy"] == np.mean([a["label"] == x for a, x in zip(answers, labels, strict=True)])
        numbers = [["bad", "fair", "good"].index(x) for x in labels]
        scores = [list(answer["scores"].values()) for answer in answers]
        assert found["calibration_error"] == metrics.expected_calibration_error(numbers, scores)
    short = pipeline("text-classification", place, max_length=24)([" ".join(t.split()[:4]) for t in texts])
    assert said or [p.score for p in short] == [a["score"] for a in answers], "cut at 6: four words"


def test_choices(tokenizer, tmp_path, capsys):
    place = save(tmp_path / "model", tokenizer, BertForMultipleChoice, TrainingRecord(max_length=9))
    texts = some_texts(24)
    rows = [{"context": t, "choices": [t[::-1][:9], "warm film", "dull"], "label": i % 3}
            for i, t in enumerate(texts)]  # fmt: skip
    path = write(tmp_path / "a.jsonl", rows)
    found = evaluated(capsys, place, "multiple-choice", path)
    answers = predicted(capsys, place, path)
    assert found["accuracy"] == np.mean([a["number"] == i % 3 for i, a in enumerate(answers)])


def test_questions(tokenizer, tmp_path, capsys):
    place = save(tmp_path / "model", tokenizer, BertForQuestionAnswering, TrainingRecord(max_length=14))
    paragraphs = [
        {"context": t, "qas": [{"id": str(i), "question": "the film", "answers": [
            {"text": t.split()[0], "answer_start": 0}]}]}
        for i, t in enumerate(some_texts(12))
    ]  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [{"title": "a", "paragraphs": paragraphs}]}))
    found = evaluated(capsys, place, "squad", path)
    answers = {a["id"]: a["text"] for a in predicted(capsys, place, path)}
    gold = {q["id"]: [a["text"] for a in q["answers"]] for p in paragraphs for q in p["qas"]}
    scores = metrics.squad_v1(gold, answers)
    assert {key: found[key] for key in scores} == scores
    (first,) = pipeline("question-answering", place)("the film", paragraphs[0]["context"])
    said = predicted(capsys, place, path)[0]
    assert (said["score"], said["text"]) == (first.best.score, first.best.text)
    assert 0 < said["score"] < 1


def test_likeness(tmp_path, capsys):
    encoder, texts, rng = make_encoder(tmp_path), some_texts(20), np.random.default_rng(2)
    scores = (rng.integers(0, 50, 10) / 10).tolist()
    rows = [
        {"text": a, "pair": b, "label": s} for a, b, s in zip(texts[:10], texts[10:], scores, strict=True)
    ]
    path = write(tmp_path / "a.jsonl", rows)
    more = ["--set", "data.text=text", "--set", "data.pair=pair", "--set", "data.label=label"]
    found = evaluated(capsys, encoder, "similarity", path, *more)
    vectors = directions(pipeline("embeddings", encoder).encode(texts))
    cosines = (vectors[:10] * vectors[10:]).sum(1)
    assert found["pearson"] == metrics.pearson(cosines, scores), "scores as the file has them, in float64"


def test_a_model_keeps_its_length(tmp_path, capsys, caplog):
    """The words after the fourth say the opposite, but were cut off where it learnt."""
    encoder, rows = make_encoder(tmp_path), []
    for i in range(60):
        first, second = (GOOD, BAD) if i % 2 else (BAD, GOOD)
        rows.append(
            {
                "text": " ".join([first[i % 4]] * 4 + [second[i // 2 % 4]] * 9),
                "label": ["neg", "pos"][i % 2],
            }
        )
    path, out = write(tmp_path / "a.jsonl", rows), tmp_path / "out"
    arguments = [
        "finetune",
        str(encoder),
        "--task",
        "classification",
        "--train",
        str(path),
        "--eval",
        str(path),
    ]
    arguments += ["--out", str(out), "--epochs", "4", "--lr", "3e-3", "--batch-size", "10"]
    assert main([*arguments, "--set", "data.max_length=6", "--json", "-q"]) == 0
    report = json.loads(capsys.readouterr().out)["models"]["model"]
    assert report["accuracy"] == 1
    columns = {"text": "text", "label": "label"}
    assert load_config(out).extra[KEY] == {"max_length": 6, "pairs": False, "columns": columns}
    assert Tokenizer.from_pretrained(out).model_max_length == 6, "as transformers cuts"
    found = evaluated(capsys, out, "classification", path)
    for key in ("accuracy", "f1", "matthews", "calibration_error", "classes"):
        assert found[key] == report[key]
    assert evaluated(capsys, out, "classification", path, "--set", "data.max_length=24")["accuracy"] < 1
    answers = predicted(capsys, out, path)
    assert [a["label"] for a in answers] == [row["label"] for row in rows]
    assert main(["predict", str(out), "--no-truncation", "warm warm warm warm warm"]) == 3
    assert "has 7 tokens, more than the maximum of 6" in capsys.readouterr().err
    with caplog.at_level(logging.WARNING, "minidistil"):
        pipeline("text-classification", out)(["warm"], ["dull"])
    assert "these are pairs of texts, and the model learnt from texts alone" in caplog.text
    again = ["finetune", str(out), *arguments[2:9], str(tmp_path / "next"), "--epochs", "1", "-q"]
    assert main(again) == 0
    assert load_config(tmp_path / "next").extra[KEY]["max_length"] == 24, "said anew, or what is usual"


def test_cut_texts_are_told_once_and_with_q(tokenizer, tmp_path, capsys, monkeypatch):
    place = save(tmp_path / "model", tokenizer, **MODELS["single"])
    path = write(tmp_path / "a.jsonl", [{"text": "a " * 9, "label": label} for label in ("bad", "good")])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    arguments = ["finetune", str(place), "--task", "classification", "--train", str(path), "--eval"]
    arguments += [
        str(path),
        "--set",
        "data.max_length=6",
        "--epochs",
        "1",
        "-q",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(arguments) == 0
    assert capsys.readouterr().err.splitlines() == [
        "2 of 2 texts are longer than 6 tokens and were truncated",
        f"{place}: new, at random until they are trained: classifier.weight, classifier.bias",
    ]


def test_one_output(tokenizer, tmp_path, caplog):
    bare = save(tmp_path / "bare", tokenizer, id2label={0: "LABEL_0"})
    (answer,) = pipeline("text-classification", bare)("warm")
    assert "does not say whether the one output of this model is a probability" in caplog.text
    place = save(tmp_path / "sigmoid", tokenizer, **MODELS["sigmoid"])
    find = pipeline("text-classification", place)
    (probability,) = find("warm")
    assert probability.score == pytest.approx(1 / (1 + np.exp(-answer.score)), rel=1e-12)
    assert find("warm", threshold=min(1, probability.score * 1.01))[0].label == "none"
    assert find("warm", threshold=probability.score * 0.99)[0].label == "LABEL_0"
    with pytest.raises(UsageError, match="a model of a number has no threshold"):
        pipeline("text-classification", bare)("warm", threshold=0.5)
    other = {"sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"}}
    with pytest.raises(
        ConfigError, match=r"must be Sigmoid or Identity, not 'torch\.nn\.modules\.activation\.Tanh'"
    ):
        answer_scores(np.zeros((1, 1)), CONFIG.replace(id2label={0: "x"}, extra=other))


def test_two_labels_of_one_name_are_refused(tokenizer, tmp_path):
    place = save(tmp_path / "a", tokenizer, id2label={0: "neg", 1: "pos", 2: "pos"})
    with pytest.raises(ConfigError, match=r"id2label in config\.json calls both 1 and 2 'pos'"):
        pipeline("text-classification", place)("warm")


@pytest.mark.parametrize("labels", [(0, 1), ("0", "1"), (0.0, 1.0), (False, True)])
@pytest.mark.parametrize("task", ["classification", "sst2"])
def test_label_i_means_i(labels, task, tokenizer, tmp_path, capsys):
    place = save(tmp_path / "a", tokenizer, id2label={0: "LABEL_0", 1: "LABEL_1"})
    texts = some_texts(12)
    column = {"classification": "text", "sst2": "sentence"}[task]
    rows = [{column: t, "label": labels[i % 2]} for i, t in enumerate(texts)]
    path = write(tmp_path / "a.jsonl", rows)
    more = ["--set", "data.format=jsonl"] if task == "sst2" else []
    found = evaluated(capsys, place, task, path, *more)
    said = [p.label for p in pipeline("text-classification", place)(texts)]
    assert found["accuracy"] == np.mean([s == f"LABEL_{i % 2}" for i, s in enumerate(said)])
    if task == "sst2" and labels == (0, 1):  # and a teacher teaches by number
        run = [
            "finetune",
            str(place),
            "--task",
            task,
            "--train",
            str(path),
            "--out",
            str(tmp_path / "out"),
            *more,
        ]
        assert main([*run, "--distill-from", str(place), "--epochs", "1", "-q"]) == 0


def test_which_class_f1_is_of(tokenizer, tmp_path, capsys):
    place = save(tmp_path / "a", tokenizer, id2label={0: "fraud", 1: "legit"})
    path = write(tmp_path / "a.jsonl", [{"text": t, "label": ["fraud", "legit"][i % 3 > 0]}
                                       for i, t in enumerate(some_texts())])  # fmt: skip
    found = evaluated(capsys, place, "classification", path)
    assert (found["positive"], found["f1"]) == ("legit", found["classes"]["legit"]["f1"])
    named = ["--set", "task.positive=fraud"]
    other = evaluated(capsys, place, "classification", path, *named)
    assert (other["positive"], other["f1"]) == ("fraud", found["classes"]["fraud"]["f1"])
    assert main(["evaluate", str(place), "--task", "classification", "--data", str(path), "-q", *named]) == 0
    assert f"f1 of fraud{other['f1']:25.4f}" in capsys.readouterr().out
    assert main(["evaluate", str(place), "--task", "classification", "--data", str(path), "-q",
                 "--set", "task.positive=theft"]) == 3  # fmt: skip
    assert (
        "task.positive is 'theft': expected one of two classes; there are: fraud, legit"
        in capsys.readouterr().err
    )
    kept = CONFIG.replace(
        id2label={0: "fraud", 1: "legit"}, extra=TrainingRecord(positive="fraud").merged_into({})
    )
    assert named_task("classification").positive(kept) == 0, "as it was judged by when it learnt"


@pytest.mark.parametrize(
    "said", [3, {"max_length": "6"}, {"max_length": 0}, {"pairs": 1}, {"scheme": "IOB3"}]
)
def test_what_is_kept_is_checked(said):
    with pytest.raises(ConfigError, match=KEY):
        TrainingRecord.of(CONFIG.replace(extra={KEY: said}))

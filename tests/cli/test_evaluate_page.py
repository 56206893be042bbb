"""minidistil evaluate --html: for each kind of task a page with the numbers of --json, and nothing runs."""

import json
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from glue_toy import write_glue
from tiny import BAD, CONFIG, GOOD, OTHER, make_encoder, make_tokenizer

from minidistil.cli.main import main
from minidistil.model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from minidistil.report.numbers import FIELDS
from minidistil.tasks.details import Details
from minidistil.tasks.registry import TASKS, named_task

EVIL = '</pre><script>alert("x")</script><img src=x onerror=alert(1)>'
KINDS = {
    "classification": (BertForSequenceClassification, {0: "bad", 1: EVIL, 2: "good"}, {}),
    "multi-label": (
        BertForSequenceClassification, {0: "bad", 1: EVIL}, {"problem_type": "multi_label_classification"},
    ),
    "regression": (BertForSequenceClassification, {0: "score"}, {"problem_type": "regression"}),
    "token-classification": (BertForTokenClassification, {0: "O", 1: "B-FUN", 2: "I-FUN"}, {}),
    "question-answering": (BertForQuestionAnswering, None, {}),
    "multiple-choice": (BertForMultipleChoice, None, {}),
    "masked-lm": (BertForMaskedLM, None, {}),
    "intents": (BertForSequenceClassification, {0: "bad", 1: EVIL}, {}),
    "summarization": (None, None, {}),
    "similarity": (None, None, {}),
    "translations": (None, None, {}),
    "retrieval": (None, None, {}),
    "faq": (None, None, {}),
}  # fmt: skip


class Reader(HTMLParser):
    """Texts, tags with their attributes; every tag is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def texts_of(n):
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(GOOD + BAD + OTHER[:8], rng.integers(3, 12))) for _ in range(n)]


def rows_of(kind):
    """Rows of a file of examples, some of which would run."""
    texts = [*texts_of(23), f"warm {EVIL}"]
    if kind == "token-classification":
        spans = [{"start": 0, "end": len(text.split()[0]), "type": "FUN"} for text in texts]
        return [{"text": text, "entities": [span]} for text, span in zip(texts, spans, strict=True)]
    if kind == "multiple-choice":
        return [
            {"context": t, "choices": ["warm", EVIL, "dull"], "label": i % 3} for i, t in enumerate(texts)
        ]
    if kind == "masked-lm":
        return [{"text": text} for text in texts]
    if kind == "summarization":
        return [
            {"document": f"{t}. {u}. warm.", "summary": t} for t, u in zip(texts, texts[::-1], strict=True)
        ]
    if kind == "retrieval":
        return [{"query": text, "positive": texts[i - 1]} for i, text in enumerate(texts)]
    if kind == "faq":
        return [{"question": text, "answer": f"{EVIL} {i % 4}"} for i, text in enumerate(texts)]
    labels = {
        "classification": ["bad", EVIL, "good"],
        "intents": ["bad", EVIL, "none"],
        "multi-label": [["bad"], ["bad", EVIL], []],
    }.get(kind, [0.5, 2, 3])
    pairs = (
        [{"pair": u} for u in texts[::-1]] if kind in ("similarity", "translations") else [{}] * len(texts)
    )
    return [
        {"text": t, **p, "label": labels[i % 3]} for i, (t, p) in enumerate(zip(texts, pairs, strict=True))
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    here = tmp_path_factory.mktemp("evaluated")
    make_encoder(here)
    tokenizer = make_tokenizer(here / "vocabulary")
    for kind, (model, names, changes) in KINDS.items():
        if model is not None:
            named = {} if names is None else {"id2label": names}
            config = CONFIG.replace(initializer_range=0.6, **named, **changes)
            model(config, seed=3).save_pretrained(here / kind, tokenizer=tokenizer)
        if kind != "question-answering":
            lines = (json.dumps(row) + "\n" for row in rows_of(kind))
            (here / f"{kind}.jsonl").write_text("".join(lines))
    paragraphs = [
        {"context": t, "qas": [{"id": str(i), "question": f"the film {EVIL}", "answers": [
            {"text": t.split()[0], "answer_start": 0}]}]}
        for i, t in enumerate(texts_of(9))
    ]  # fmt: skip
    (here / "question-answering.json").write_text(
        json.dumps({"data": [{"title": "", "paragraphs": paragraphs}]})
    )
    return here


def arguments(place, kind, page):
    data = next(path for path in place.glob(f"{kind}.json*"))
    model = place / kind if KINDS[kind][0] is not None else place / "encoder"
    more = ["--entries", str(data)] if kind == "faq" else []
    if kind in ("similarity", "translations"):
        more += ["--set", "data.text=text", "--set", "data.pair=pair"]
    if kind == "summarization":
        more += ["--set", "data.text=document", "--set", "data.label=summary"]
    wanted = ["--html", str(page)] if page else []
    return ["evaluate", str(model), "--task", kind, "--data", str(data), "-q", "--json", *wanted, *more]


def test_every_kind_is_here():
    """A new kind of task says what its page shows."""
    assert {named_task(name).kind for name in TASKS} == {named_task(kind).kind for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_pages(kind, place, tmp_path, capsys):
    assert main(arguments(place, kind, None)) == 0
    plain = capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(arguments(place, kind, page)) == 0
    assert capsys.readouterr().out == plain, "the details change no number"
    html = page.read_text(encoding="utf-8")
    reader = Reader(html)
    assert not {"script", "img", "link", "a"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name in ("src", "href")]
    found = json.loads(plain)
    shown = dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', html.split("<h2>Answers")[0]))
    for key, value in found.items():
        if isinstance(value, float):
            name, form = FIELDS.get(key, (key.replace("_", " "), "{:.4g}"))
            assert [text for label, text in shown.items() if label.split(" of ")[0] == name] == [
                form.format(value)
            ]
    assert reader.tags.count("li") == min(20, found["examples"]) or kind in ("masked-lm", "intents")
    assert html.count("<dt>right</dt>") == reader.tags.count("li") > 0
    if "confusion" in found and len(found["classes"]) <= 12:
        cells = re.findall(
            r'<td role="cell" class="[^"]*"\s+data-label="[^"]*" style="[^"]*">([\d,]+)</td>', html
        )
        assert [int(cell) for cell in cells] == [n for row in found["confusion"] for n in row]
    for name, scores in found.get("classes", {}).items():
        row = re.search(rf'<th scope="row" role="rowheader">{re.escape(escaped(name))}</th>(.*?)</tr>', html)[
            1
        ]
        values = [unescape(value) for value in re.findall(r"<td[^>]*>([^<]*)</td>", row)]
        assert values[:4] == [f"{scores[key]:.4g}" for key in ("precision", "recall", "f1", "support")]


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")


def test_the_highest_losses_are_the_models(place, capsys):
    """Against the probabilities that `predict` prints."""
    data = place / "classification.jsonl"
    task = named_task("classification")
    examples, details = task.read(data), Details()
    task.evaluate_saved(place / "classification", examples, details=details)
    assert main(["predict", str(place / "classification"), "--data", str(data), "--json", "-q"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    losses = [-np.log(a["scores"][label]) for a, label in zip(answers, examples.labels, strict=True)]
    order = np.argsort(np.negative(losses), kind="stable")[:20]
    worst = details.found["worst"]["examples"]
    assert [example["value"] for example in worst] == pytest.approx([losses[i] for i in order])
    assert [example["line"] for example in worst] == [i + 1 for i in order]
    assert [example["given"] for example in worst] == [answers[i]["label"] for i in order]
    assert [example["probability"] for example in worst] == [answers[i]["score"] for i in order]


def test_tags_are_confused_by_type(place):
    task, details = named_task("token-classification"), Details()
    examples = task.read(place / "token-classification.jsonl")
    found = task.evaluate_saved(place / "token-classification", examples, details=details)
    assert details.found["names"] == ["FUN", "no entity"]
    matrix = np.array(details.found["confusion"])
    assert matrix.shape == (2, 2)
    assert matrix[0].sum() == len(examples), "one word of each text is an entity"
    assert np.trace(matrix) / matrix.sum() >= found["accuracy"], "B- and I- are one type"


def test_words_with_the_highest_loss_are_the_models(place):
    task, details = named_task("masked-lm"), Details(most=10_000)
    found = task.evaluate_saved(place / "masked-lm", task.read(place / "masked-lm.jsonl"), details=details)
    worst = details.found["worst"]
    losses = [example["value"] for example in worst["examples"]]
    assert np.mean(losses) == pytest.approx(found["masked_lm"], rel=1e-5)
    right = [example["right"] == example["given"] for example in worst["examples"]]
    assert np.mean(right) == pytest.approx(found["accuracy"])
    assert all("[MASK]" in example["texts"]["text"] for example in worst["examples"])


def test_glue(place, tmp_path, capsys):
    write_glue(tmp_path / "glue", ["SST-2"])
    names = {0: "negative", 1: "positive"}
    model = BertForSequenceClassification(CONFIG.replace(id2label=names), seed=3)
    model.save_pretrained(tmp_path / "runs" / "sst2", tokenizer=make_tokenizer(tmp_path / "vocabulary"))
    page = tmp_path / "page.html"
    line = [
        "evaluate",
        str(tmp_path / "runs"),
        "--task",
        "glue",
        "--data",
        str(tmp_path / "glue"),
        "-q",
        "--json",
    ]
    assert main([*line, "--html", str(page)]) == 0
    found = json.loads(capsys.readouterr().out)["models"]["model"]["tasks"]["sst2"]
    text = Reader(page.read_text()).text
    assert f"accuracy {100 * found['accuracy']:.1f}" in text
    assert "sst2" in text


def test_options_of_the_page(place, tmp_path, capsys):
    line = arguments(place, "classification", None)
    assert main([*line, "--templates", str(tmp_path)]) == 2
    assert "--templates is part of a page: say --html FILE" in capsys.readouterr().err
    (tmp_path / "style.css").write_text("h1 { color: red }")
    assert main([*line, "--html", str(tmp_path / "a.html"), "--templates", str(tmp_path)]) == 0
    assert "h1 { color: red }" in (tmp_path / "a.html").read_text()
    assert main([*line, "--html", str(tmp_path / "a.html"), "--templates", str(tmp_path / "no")]) == 2
    assert "is not a folder of templates" in capsys.readouterr().err, "said before a model is read"

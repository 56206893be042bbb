"""The page of `minidistil explore`: its numbers are the model's, texts are escaped, nothing is fetched."""

import json

import numpy as np
import pytest
from page_parts import read, unpack
from tiny import CONFIG, LABELS, VOCABULARY, make_classifier, make_encoder, make_tokenizer

from minidistil.cli.main import main
from minidistil.distill import init_student
from minidistil.distill.explain import explain
from minidistil.model import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ErnieConfig,
    ErnieForMaskedLM,
    load_model,
)
from minidistil.report.explore import Reading, look_inside
from minidistil.text.tokenizer import Tokenizer

TEXT = "the film is warm"
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
EVIL = '</script><!--<script>alert("x")</script> film\'s'


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    here = tmp_path_factory.mktemp("explored")
    make_classifier(here)
    make_encoder(here / "bare")
    tokenizer = make_tokenizer(here / "vocabulary")
    models = {
        "tags": BertForTokenClassification(CONFIG.replace(id2label={0: "O", 1: EVIL})),
        "answers": BertForQuestionAnswering(CONFIG),
        "words": BertForMaskedLM(CONFIG),
        "choices": BertForMultipleChoice(CONFIG),
        "both": BertForPreTraining(CONFIG),
        "many": BertForSequenceClassification(
            CONFIG.replace(id2label=LABELS, problem_type="multi_label_classification")
        ),
        "number": BertForSequenceClassification(CONFIG.replace(id2label={0: "LABEL_0"})),
        "shallow": BertModel(CONFIG.replace(num_hidden_layers=0)),
        "other-width": BertForSequenceClassification(CONFIG.replace(id2label=LABELS, hidden_size=22)),
    }
    for name, model in models.items():
        model.save_pretrained(here / name, tokenizer=tokenizer)
    student = init_student(BertForSequenceClassification.from_pretrained(here / "classifier"), "even:2")
    student.save_pretrained(here / "student", tokenizer=tokenizer)
    return here


def run(places, tmp_path, model, *more, text=TEXT):
    page = tmp_path / "page.html"
    model, *more = [str(places / word) if (places / word).is_dir() else word for word in (model, *more)]
    assert main(["explore", model, text, *more, "--out", str(page)]) == 0
    return page


def test_numbers_are_the_models(places, tmp_path, capsys):
    page = run(places, tmp_path, "student", "--teacher", "classifier", "--label", "1")
    assert capsys.readouterr().out == f"{page}\n"
    parts, data = read(page)
    models = [load_model(places / name) for name in ("student", "classifier")]
    tokenizer = Tokenizer.from_pretrained(places / "classifier")
    reading = Reading.of(tokenizer, models, TEXT)
    outputs = [m.forward(reading.batch, hidden_states=True, attentions=True)[0] for m in models]
    (attention,) = [one for one in data if "models" in one]
    assert attention["tokens"] == ["[CLS]", "the", "film", "is", "warm", "[SEP]"]
    for side, out in zip(attention["models"], outputs, strict=True):
        np.testing.assert_array_equal(unpack(side["values"]), [layer[0] for layer in out["attentions"]])
    heats = {}
    for one in data:
        heats.setdefault(one.get("title"), []).append(one)
    for i, out in enumerate(outputs):
        vectors = unpack(heats["Embedding, the input of layer 0"][i]["values"])
        np.testing.assert_array_equal(vectors.reshape(6, -1), out["hidden_states"][0])
        norms = np.linalg.norm(np.stack(out["hidden_states"]), axis=2)
        np.testing.assert_allclose(unpack(heats["Norm of each hidden state"][i]["values"]), norms, rtol=1e-6)
        parts_of = unpack(heats["Norm of each part of the embedding"][i]["values"])
        words = models[i].params["bert.embeddings.word_embeddings.weight"][reading.batch.input_ids]
        np.testing.assert_allclose(parts_of[:, 0], np.linalg.norm(words, axis=1), rtol=1e-6)
        np.testing.assert_allclose(parts_of[:, -1], norms[0], rtol=1e-6)
        assert heats["Norm of each part of the embedding"][i]["columns"][:3] == [
            "word",
            "position",
            "segment",
        ]
    terms = heats["Weight and value of each term"][0]
    assert terms["rows"] == [
        "soft",
        "hard",
        "logits",
        "cosine",
        "hidden",
        "pkd",
        "attention",
        "relations",
        "embedding",
    ]
    wanted = explain(*models, reading.with_label(1).batch, dict.fromkeys(terms["rows"], 1.0))
    wanted = {term.name: term for term in wanted}
    assert unpack(terms["values"]).tolist() == [[1.0, wanted[name].value] for name in terms["rows"]]
    gradient = heats["Norm of each term's gradient, weight included, by part of the student"][0]
    assert gradient["columns"] == ["embeddings", "layer 0", "layer 1", "head"]
    assert unpack(gradient["values"]).tolist() == [
        list(wanted[name].gradient.values()) for name in gradient["rows"]
    ]
    (soft,) = [one for one in data if "temperature" in one]
    for name, out in zip(("student", "teacher"), outputs, strict=True):
        np.testing.assert_array_equal(unpack(soft[name]), out["logits"])
    assert soft["classes"] == [list(LABELS.values())]
    assert "triplet" in parts.text, "says why it is not there"


def test_terms_that_are_asked_for(places, tmp_path):
    options = ["--teacher", "classifier", "--term", "soft=5", "--term", "relations", "--temperature", "3.21"]
    parts, data = read(run(places, tmp_path, "student", *options))
    (terms,) = [one for one in data if one.get("title") == "Weight and value of each term"]
    assert terms["rows"] == ["soft", "relations"]
    assert unpack(terms["values"])[:, 0].tolist() == [5, 1]
    (soft,) = [one for one in data if "temperature" in one]
    assert (soft["temperature"], soft["step"]) == (3.21, "any")
    exp = np.exp(unpack(soft["teacher"])[0].astype(np.float64) / 3.21)
    for name, share in zip(LABELS.values(), exp / exp.sum(), strict=True):
        assert f"{name}{share:.4f}" in parts.text.replace("\n", ""), "without a script, too"


def test_what_does_not_fit_is_said(places, tmp_path):
    parts, data = read(run(places, tmp_path, "other-width", "--teacher", "classifier"))
    text = " ".join(parts.text.split())
    assert "hidden between two widths it learns a projection" in text
    assert "cosine the cosine term needs equal widths" in text
    assert "hard it needs the right answer: --label" in text
    (terms,) = [one for one in data if one.get("title") == "Weight and value of each term"]
    assert terms["rows"] == ["soft", "logits", "attention", "relations"]
    parts, data = read(run(places, tmp_path, "student", "--teacher", "tags"))
    assert "there are no scores that both models have" in parts.text
    assert not [one for one in data if "temperature" in one]
    parts, data = read(run(places, tmp_path, "number", "--teacher", "number"))
    assert "for a regression use the term logits" in parts.text


@pytest.mark.parametrize(
    ("model", "text", "titles"),
    [
        ("classifier", TEXT, ["Scores of the text"]),
        ("many", TEXT, ["Scores of the text"]),
        ("number", TEXT, ["Scores of the text"]),
        ("choices", TEXT, ["Scores of the text"]),
        ("tags", TEXT, ["Scores", "Probabilities"]),
        ("answers", TEXT, ["Scores of the start of an answer", "Scores of the end of an answer"]),
        (
            "words",
            "the [MASK] is [MASK] a [MASK]",
            ["Scores of [MASK] at place 2", "Scores of [MASK] at place 4"],
        ),
        ("words", "the film", ["Scores of [MASK] at place 1"]),
        ("words", "", []),
        ("both", "the [MASK]", ["Scores of [MASK] at place 2", "Scores of the text"]),
        ("bare/encoder", TEXT, []),
        ("shallow", TEXT, []),
        ("classifier", "", ["Scores of the text"]),
    ],
)
def test_every_head(places, tmp_path, model, text, titles):
    parts, data = read(run(places, tmp_path, model, text=text))
    shown = {one["title"]: one for one in data if "title" in one}
    assert [title for title in shown if title.startswith(("Scores", "Prob"))] == titles
    loaded = load_model(places / model)
    out = loaded.forward(Reading.of(Tokenizer.from_pretrained(places / model), [loaded], text).batch)[0]
    scores = {title: unpack(one["values"]) for title, one in shown.items()}
    if model in ("classifier", "many"):
        np.testing.assert_array_equal(scores[titles[0]][:, 0], out["logits"][0])
        exp = np.exp(out["logits"][0].astype(np.float64))
        wanted = exp / (1 + exp) if model == "many" else exp / exp.sum()
        np.testing.assert_allclose(scores[titles[0]][:, 1], wanted, rtol=1e-6)
    elif model in ("number", "choices"):
        assert scores[titles[0]].tolist() == [[float(out["logits"].item())]]
    elif model == "tags":
        np.testing.assert_array_equal(scores["Scores"], out["logits"])
        assert scores["Probabilities"].sum(1) == pytest.approx(np.ones(6))
    elif model == "answers":
        np.testing.assert_array_equal(scores[titles[1]][:, 0], out["end_logits"])
        assert scores[titles[1]][:, 1].sum() == pytest.approx(1)
    elif model == "words" and titles:
        place = int(titles[0].split()[-1])
        best = np.argsort(-out["logits"][place], kind="stable")[:10]
        assert shown[titles[0]]["rows"] == [VOCABULARY[i] for i in best]
        np.testing.assert_array_equal(scores[titles[0]][:, 0], out["logits"][place][best])
        assert ("every seventh word was masked" in parts.text) == ("[MASK]" not in text)
    if not titles:
        assert "There is no head that gives scores" in " ".join(parts.text.split())
    if model == "shallow":
        assert "There are no layers" in parts.text


def test_texts_and_names_are_escaped(places, tmp_path):
    evil = places / "<b>&'"
    if not evil.exists():
        tokenizer = Tokenizer.from_pretrained(places / "tags")
        load_model(places / "tags").save_pretrained(evil, tokenizer=tokenizer)
    page = run(places, tmp_path, evil.name, "--pair", EVIL, "--teacher", "tags", text=EVIL)
    parts, data = read(page)
    assert parts.text.count(EVIL) >= 2
    assert "Student: <b>&'" in parts.text
    assert EVIL in json.dumps(data, ensure_ascii=False).replace('\\"', '"'), "a label, for the script"
    html = page.read_text(encoding="utf-8")
    assert html.count("<!--") == 0
    assert html.count("</script>") == html.count("<script")


def test_a_long_text_is_cut(tmp_path):
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    BertModel(CONFIG.replace(max_position_embeddings=200)).save_pretrained(
        tmp_path / "m", tokenizer=tokenizer
    )
    for more, tokens in (([], 64), (["--max-length", "90"], 90)):
        parts, data = read(run(tmp_path, tmp_path, "m", *more, text="film " * 100))
        assert len(next(one for one in data if "models" in one)["tokens"]) == tokens
        assert f"its first {tokens} tokens" in parts.text


def test_size_of_a_page(tmp_path):
    """All-MiniLM-L6-v2's sizes and twenty words; beside it a teacher of BERT-base's depth."""
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    sizes = {
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 16,
        "max_position_embeddings": 64,
    }
    for name, layers in (("mini", 6), ("deep", 12)):
        config = CONFIG.replace(num_hidden_layers=layers, id2label=LABELS, **sizes)
        BertForSequenceClassification(config, seed=layers).save_pretrained(
            tmp_path / name, tokenizer=tokenizer
        )
    text = "the film is warm and funny and the plot with a cast of bright lovely is dull grim tired clumsy"
    assert len(text.split()) == 20
    assert run(tmp_path, tmp_path, "mini", text=text).stat().st_size < 700_000
    assert run(tmp_path, tmp_path, "mini", "--teacher", "deep", text=text).stat().st_size < 2_000_000


def test_bad_input(places, tmp_path, capsys):
    page = tmp_path / "page.html"

    def told(model, *more, code):
        arguments = [
            str(places / word) if (places / word).is_dir() else word for word in (model, TEXT, *more)
        ]
        assert main(["explore", *arguments, "--out", str(page)]) == code
        assert not page.exists()
        return capsys.readouterr().err

    assert "say --teacher MODEL" in told("classifier", "--label", "1", code=2)
    assert "say --teacher MODEL" in told("classifier", "--term", "soft", code=2)
    assert "no term 'soff'" in told("student", "--teacher", "classifier", "--term", "soff", code=3)
    assert "--term soft=x" in told("student", "--teacher", "classifier", "--term", "soft=x", code=2)
    assert "label 7" in told("student", "--teacher", "classifier", "--label", "7", code=3)
    assert "does not classify texts" in told("tags", "--teacher", "tags", "--label", "0", code=2)
    assert "temperature must be positive" in told("classifier", "--temperature", "0", code=2)
    assert "shows 128 tokens at most" in told("classifier", "--max-length", "129", code=2)
    assert "24 positions" in told("classifier", "--max-length", "25", code=3)
    assert "is not a folder of templates" in told("classifier", "--templates", "nowhere", code=2)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    other = make_tokenizer(foreign / "v")
    (foreign / "v" / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nothers\n", encoding="utf-8")
    other = Tokenizer.from_pretrained(foreign / "v")
    BertForSequenceClassification(CONFIG.replace(vocab_size=6, id2label=LABELS)).save_pretrained(
        foreign / "m", tokenizer=other
    )
    assert "another vocabulary" in told("student", "--teacher", str(foreign / "m"), code=3)
    BertModel(CONFIG).save_pretrained(foreign / "bare", tokenizer=make_tokenizer(foreign / "w"))
    config = json.loads((foreign / "bare" / "config.json").read_text())
    config["architectures"] = ["BertForSequenceClassification"]
    (foreign / "bare" / "config.json").write_text(json.dumps(config))
    assert "nobody has trained" in told(str(foreign / "bare"), code=3)


def test_a_model_left_in_its_file_looks_the_same(places):
    tokenizer = Tokenizer.from_pretrained(places / "classifier")
    found = []
    for mapped in (False, True):
        model = BertForSequenceClassification.from_pretrained(places / "classifier", mapped=mapped).eval()
        inside = look_inside(model, Reading.of(tokenizer, [model], TEXT), "m")
        found.append(
            [inside.parts.values, inside.vectors.values, inside.attention.values, inside.norms.values]
        )
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


FAMILIES = {
    "distilbert": (DistilBertConfig, DistilBertForSequenceClassification, ["word", "position"]),
    "ernie": (ErnieConfig, ErnieForMaskedLM, ["word", "position", "segment", "task"]),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families(tmp_path, family):
    """Embeddings are made of the tables that a family has."""
    kind, model, tables = FAMILIES[family]
    sizes = {name: getattr(CONFIG, name) for name in SIZES}
    more = {"use_task_id": True} if family == "ernie" else {}
    model = model(kind(**sizes, **more), seed=1)
    model.save_pretrained(tmp_path / "m", tokenizer=make_tokenizer(tmp_path / "v"))
    _, data = read(run(tmp_path, tmp_path, "m", "--pair", "a plot"))
    (parts,) = [one for one in data if one.get("title") == "Norm of each part of the embedding"]
    assert parts["columns"] == [*tables, "sum", "after the norm"]
    assert (unpack(parts["values"]) > 0).all()


def test_a_teacher_that_guesses_words(places, tmp_path):
    """A student that does not gets no masks."""
    _, data = read(run(places, tmp_path, "classifier", "--teacher", "words", "--label", "1"))
    assert data[0]["rows"] == ["[CLS]", "the", "film", "is", "warm", "[SEP]"]
    (terms,) = [one for one in data if one.get("title") == "Weight and value of each term"]
    assert terms["rows"] == ["hard", "cosine", "hidden", "pkd", "attention", "relations", "embedding"]


@pytest.mark.parametrize("kind", [BertForSequenceClassification, BertForQuestionAnswering, BertForMaskedLM])
def test_dependence_is_a_derivative(tmp_path, kind):
    """Against differences of the logit, as the position's row of each token moves."""
    tokenizer = make_tokenizer(tmp_path)
    model = kind(CONFIG.replace(num_hidden_layers=2), dtype="float64", backend="numpy", seed=4)
    reading = Reading.of(tokenizer, [model], "warm [MASK] film")
    inside = look_inside(model, reading, "m")
    fast = look_inside(kind(model.config, dtype="float64", seed=4), reading, "the kernels")
    np.testing.assert_allclose(inside.dependence.values, fast.dependence.values, rtol=1e-5)
    table, step = model.params["bert.embeddings.position_embeddings.weight"], 1e-4

    def logits():
        outputs, _ = model.forward(reading.batch)
        wanted = [(outputs[name][place], some.logits[r]) for some in inside.scores
                  for r, (name, place) in enumerate(some.places)]  # fmt: skip
        return np.array([now[before.argmax()] for now, before in wanted])

    gradients = np.zeros((len(inside.dependence.rows), len(reading.tokens), CONFIG.hidden_size))
    for p in range(len(reading.tokens)):
        for h in range(CONFIG.hidden_size):
            table[p, h] += step
            above = logits()
            table[p, h] -= 2 * step
            gradients[:, p, h] = (above - logits()) / (2 * step)
            table[p, h] += step
    assert len(gradients) == (2 if kind is BertForQuestionAnswering else 1)
    np.testing.assert_allclose(inside.dependence.values, np.linalg.norm(gradients, axis=2), rtol=1e-5)

"""Pages that one can click, in Chromium: every control is used, and each number told is the model's."""

import json
import re

import numpy as np
import pytest
from browser_tools import BROWSER, browse, look, served
from tiny import CONFIG, LABELS, VOCABULARY, make_classifier

from minidistil.cli.main import main
from minidistil.distill import init_student
from minidistil.distill.explain import explain
from minidistil.losses import soft_label_kl
from minidistil.model import (
    BertForMaskedLM,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    load_model,
)
from minidistil.report.explore import Reading
from minidistil.text.tokenizer import Tokenizer

if BROWSER is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

PHONE = 360  # CSS pixels
TEXT = "the film is warm and funny"
EVIL = 'film <script>alert("x")</script>'
TEMPERATURES = [0.5, 1, 2, 7.3, 10]

# Uses every control of the page in a frame, and leaves all that it read in its own document.
HARNESS = f"""<!doctype html><body>
<iframe width="1200" height="900" style="border:0"></iframe>
<script>
const [page, width] = location.search.slice(1).split("&");
const frame = document.querySelector("iframe");
if (width) frame.width = width;
frame.src = page;
frame.onload = () => {{
  const doc = frame.contentDocument, win = frame.contentWindow, seen = {{errors: []}};
  win.addEventListener("error", event => seen.errors.push(event.message));
  win.addEventListener("securitypolicyviolation", event => seen.errors.push(event.blockedURI));
  const all = (selector, inside = doc) => [...inside.querySelectorAll(selector)];
  const press = (key, more = {{}}) => doc.activeElement.dispatchEvent(
    new win.KeyboardEvent("keydown", {{key, bubbles: true, cancelable: true, ...more}}));
  const hover = cell => cell.dispatchEvent(new win.PointerEvent("pointerover", {{bubbles: true}}));
  const number = cell => cell.getAttribute("aria-label") ?? cell.textContent;
  const table = grid => [...grid.tBodies[0].rows].map(row => all("td", row).map(number));
  const status = place => place.querySelector(".status").textContent;
  const set = (input, value, kind) => {{
    input.value = value;
    input.dispatchEvent(new win.Event(kind, {{bubbles: true}}));
  }};

  seen.attention = all("[data-widget=attention]").map(place => ({{
    sides: all(".side", place).map(side => {{
      const heads = side.querySelector(".heads"), large = side.querySelector(".cells");
      const found = {{maps: [], titles: [], keys: [], colours: []}};
      for (const cell of all("tbody td", heads)) {{
        cell.click();
        found.titles.push(side.querySelector("h4").textContent);
        found.maps.push(table(large));
        found.selected = all("[aria-selected=true]", heads).length;
      }}
      found.colours = all("tbody td", large).map(cell => win.getComputedStyle(cell).backgroundColor);
      all("tbody td", heads)[0].click();
      for (const [key, more] of [["ArrowRight"], ["ArrowDown"], ["End"], ["Home"], ["ArrowUp"], ["ArrowUp"],
                                 ["End", {{ctrlKey: true}}], ["ArrowRight"], ["Home", {{ctrlKey: true}}]]) {{
        press(key, more);
        found.keys.push(side.querySelector("h4").textContent);
      }}
      found.entries = all("[tabindex='0']", heads).length;
      return found;
    }}),
    hovered: all(".cells tbody td", place).slice(0, 9).map(cell => {{ hover(cell); return status(place); }}),
    walked: ["ArrowDown", "ArrowRight", "End"].map((key, i) => {{
      if (!i) place.querySelector(".cells tbody td").click();
      press(key);
      return status(place);
    }}),
  }}));

  seen.heat = all("[data-widget=heat]").map(place => {{
    const grid = place.querySelector("[role=grid]"), input = place.querySelector("input[type=range]");
    const found = {{title: place.querySelector("figcaption").textContent, tables: [], names: []}};
    for (let n = 0; n <= (input ? Number(input.max) : 0); n += 1) {{
      if (input) {{
        set(input, n, "input");
        found.names.push(place.querySelector("label output").textContent);
      }}
      found.tables.push(table(grid));
    }}
    all("tbody td", grid).at(-1).focus();
    found.last = status(place);
    press("Home", {{ctrlKey: true}});
    found.first = status(place);
    hover(all("tbody td", grid).at(-1));
    found.hovered = status(place);
    found.entries = all("[tabindex='0']", grid).length;
    found.shapes = all("tbody tr", grid).length + "x" + all("thead th", grid).length;
    return found;
  }});

  seen.temperature = all("[data-widget=temperature]").map(place => {{
    const input = place.querySelector("input"), select = place.querySelector("select");
    const found = {{start: input.value, rows: []}};
    const facts = () => all("dd", place).map(e => e.textContent);
    for (let row = 0; row < (select ? select.options.length : 1); row += 1) {{
      if (select) set(select, row, "change");
      found.rows.push({json.dumps(TEMPERATURES)}.map(T => {{
        set(input, T, "input");
        return {{T: place.querySelector("label output").textContent, facts: facts(),
                 names: all("tbody th", place).map(e => e.textContent),
                 table: table(place.querySelector("table")),
                 widths: all(".bar", place).map(e => e.getBoundingClientRect().width)}};
      }}));
    }}
    const cell = place.querySelector("tbody td");
    cell.focus();
    found.told = status(place);
    press("ArrowRight");
    found.next = status(place);
    return found;
  }});

  const scrolls = e => e && (win.getComputedStyle(e).overflowX === "auto" || scrolls(e.parentElement));
  seen.scroll = doc.documentElement.scrollWidth;
  seen.wide = all("body *").filter(e => e.getBoundingClientRect().right > frame.clientWidth + 0.5)
    .filter(e => !scrolls(e)).map(e => e.tagName + " " + e.className);
  seen.cut = all(".scroll").filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText.slice(0, 80));
  seen.scripts = all("script:not([type])").length;
  seen.inline = all("*").filter(e => e.getAttributeNames().some(name => name.startsWith("on"))).length;
  seen.links = all("a").map(a => a.getAttribute("href")).filter(href => !doc.querySelector(href));
  seen.labels = all("input, select").filter(e => !e.labels.length).length;
  seen.paper = win.getComputedStyle(doc.body).backgroundColor;
  seen.title = doc.title;
  seen.text = doc.body.innerText;
  document.body.textContent = "SEEN" + JSON.stringify(seen) + "END";
}};
</script>"""


def save(model, place, tokenizer):
    model.save_pretrained(place, tokenizer=tokenizer)
    return str(place)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The directory that is served: a page of each kind, and the models that they are of."""
    here = tmp_path_factory.mktemp("site")
    (here / "harness.html").write_text(HARNESS, encoding="utf-8")
    teacher = str(make_classifier(here))
    tokenizer = Tokenizer.from_pretrained(teacher)
    student = init_student(BertForSequenceClassification.from_pretrained(teacher), "even:3", seed=1)
    student.params.flat[:] *= 1.1
    student.config = student.config.replace(id2label={0: LABELS[1], 1: LABELS[0]})  # in another order
    save(student, here / "student", tokenizer)
    tags = {0: "O", 1: "B-<i>", 2: "I-<i>"}
    for name, kind, config in (
        ("tags", BertForTokenClassification, CONFIG.replace(id2label=tags)),
        ("words", BertForMaskedLM, CONFIG),
        ("answers", BertForQuestionAnswering, CONFIG),
    ):
        save(kind(config, seed=5), here / name, tokenizer)
        save(kind(config.replace(num_hidden_layers=2), seed=6), here / f"{name}-student", tokenizer)
    pages = {
        "two": ["student", TEXT, "--teacher", "classifier", "--label", "1"],
        "evil": ["classifier", EVIL, "--pair", EVIL],
        "tags": ["tags-student", TEXT, "--teacher", "tags"],
        "words": ["words-student", "the [MASK] is funny", "--teacher", "words"],
        "answers": ["answers-student", "the film", "--pair", TEXT, "--teacher", "answers"],
        "long": ["classifier", "film " * 100],
    }
    for name, (model, *rest) in pages.items():
        rest = [
            str(here / word) if word in ("classifier", "tags", "words", "answers") else word for word in rest
        ]
        assert main(["explore", str(here / model), *rest, "--out", str(here / f"{name}.html")]) == 0
    page = ["--html", str(here / "predictions.html"), "--attention", "all"]
    assert main(["predict", teacher, *page, TEXT, EVIL]) == 0
    return here


@pytest.fixture(scope="module")
def site(place):
    with served(place) as found:
        yield found


def numbers(table):
    return np.array(table, np.float32)


def forward(path, text, pair=None, **options):
    model, tokenizer = load_model(path), Tokenizer.from_pretrained(path)
    encoded = tokenizer.encode([text], None if pair is None else [pair])
    reading = Reading.of(tokenizer, [model], text, pair)
    np.testing.assert_array_equal(reading.batch.input_ids, encoded.input_ids[0])
    return model, reading, model.forward(reading.batch, attentions=True, hidden_states=True)[0]


def check_attention(sides, outputs):
    for side, out in zip(sides, outputs, strict=True):
        wanted = [head for layer in out["attentions"] for head in layer[0]]
        np.testing.assert_array_equal(numbers(side["maps"]), wanted)
        heads = len(out["attentions"][0][0])
        assert side["titles"] == [f"Layer {i // heads}, head {i % heads}" for i in range(len(wanted))]
        assert side["selected"] == side["entries"] == 1


def test_a_student_and_its_teacher(place, site, tmp_path):
    seen, console = look(site[0], "two.html", tmp_path)
    assert seen["errors"] == console == []
    assert (seen["scripts"], seen["inline"], seen["links"], seen["labels"]) == (1, 0, [], 0)
    models, readings, outputs = zip(
        *(forward(place / n, TEXT) for n in ("student", "classifier")), strict=True
    )
    tokens = readings[0].pieces

    (attention,) = seen["attention"]
    check_attention(attention["sides"], outputs)
    last = 3 - 1
    assert attention["sides"][0]["keys"] == [
        f"Layer {layer}, head {head}"
        for layer, head in [(0, 1), (1, 1), (1, 1), (1, 0), (0, 0), (0, 0), (last, 1), (last, 1), (0, 0)]
    ]
    first = [out["attentions"][0][0][0] for out in outputs]
    for c, told in enumerate(attention["hovered"][: len(tokens)]):
        assert told.startswith(f"{tokens[0]} looks at {tokens[c]}. Student: student, layer 0, head 0: ")
        found = [float(x) for x in re.findall(r": ([\d.e-]+)(?=;|$)", told)]
        np.testing.assert_array_equal(np.float32(found), [maps[0, c] for maps in first])
    walked = [told.split(".")[0] for told in attention["walked"]]
    n = len(tokens) - 1
    assert walked == [f"{tokens[r]} looks at {tokens[c]}" for r, c in [(1, 0), (1, 1), (1, n)]]
    shares = np.sqrt(first[0].ravel())
    alphas = [float(re.search(r"([\d.]+)\)$", colour)[1]) for colour in attention["sides"][0]["colours"]]
    last_map = np.sqrt(outputs[0]["attentions"][-1][0][-1].ravel())
    np.testing.assert_allclose(alphas, last_map, atol=0.006)
    assert np.abs(shares - last_map).max() > 0.006, "the last head's, and no other's"

    by_title = {}
    for heat in seen["heat"]:
        by_title.setdefault(heat["title"], []).append(heat)
        assert heat["entries"] == 1
        assert heat["hovered"].split(": ")[-1] == heat["last"].split(": ")[-1]
        assert heat["first"] != heat["last"] or len(heat["tables"][-1]) == 1
    for side, out in enumerate(outputs):
        states = np.stack(out["hidden_states"]).astype(np.float64)
        norms = np.linalg.norm(states, axis=2)
        shown = by_title["Norm of each hidden state"][side]["tables"][0]
        np.testing.assert_allclose(numbers(shown), norms, rtol=1e-6)
        cosines = (states[1:] * states[:-1]).sum(2) / norms[1:] / norms[:-1]
        shown = by_title["Cosine of a token's state before and after a layer"][side]["tables"][0]
        np.testing.assert_allclose(numbers(shown), cosines, atol=1e-6)
        between = by_title["Cosine between the states of tokens"][side]
        assert between["names"] == ["embeddings", *(f"after layer {i}" for i in range(len(states) - 1))]
        products = np.einsum("lth,lsh->lts", states, states) / norms[:, :, None] / norms[:, None]
        np.testing.assert_allclose(numbers(between["tables"]), products, atol=1e-6)
        vectors = by_title["Embedding, the input of layer 0"][side]["tables"]
        np.testing.assert_array_equal(numbers(vectors).reshape(len(tokens), -1), out["hidden_states"][0])
        scores = numbers(by_title["Scores of the text"][side]["tables"][0])
        np.testing.assert_array_equal(scores[:, 0], out["logits"][0])
        assert scores[:, 1].sum() == pytest.approx(1)

    batch = readings[0].with_label(1).batch
    names = ["soft", "hard", "logits", "cosine", "hidden", "pkd", "attention", "relations"]
    terms = explain(*models, batch, dict.fromkeys(names, 1.0))
    rows = np.array(by_title["Weight and value of each term"][0]["tables"][0], np.float64)
    np.testing.assert_array_equal(rows[:8, 1], [term.value for term in terms])
    gradient = by_title["Norm of each term's gradient, weight included, by part of the student"][0]
    wanted = [list(term.gradient.values()) for term in terms]
    np.testing.assert_array_equal(np.array(gradient["tables"][0], np.float64)[:8], wanted)
    assert gradient["first"] == f"soft, embeddings: {terms[0].gradient['embeddings']!r}".replace("e-0", "e-")

    (soft,) = seen["temperature"]
    assert soft["start"] == "2"
    ours, theirs = outputs[0]["logits"], outputs[1]["logits"][:, ::-1]  # labels are matched by their names
    for T, found in zip(TEMPERATURES, soft["rows"][0], strict=True):
        assert float(found["T"]) == T
        assert found["names"] == [LABELS[1], LABELS[0]]
        for side, z in enumerate((theirs, ours)):
            p = np.exp(z[0].astype(np.float64) / T)
            column = np.array(found["table"], np.float64)[:, side]
            np.testing.assert_allclose(column, p / p.sum(), rtol=1e-12)
        loss = soft_label_kl(ours.astype(np.float64), theirs.astype(np.float64), temperature=T)
        np.testing.assert_allclose(
            np.array(found["facts"], np.float64),
            [loss.sum / T**2, loss.sum, np.linalg.norm(loss.grad)],
            rtol=1e-9,
        )
        p, widths = np.array(found["table"], np.float64).ravel(), np.array(found["widths"])
        np.testing.assert_allclose(widths / widths.max(), p / p.max(), atol=0.02)
    at_two = float(soft["rows"][0][TEMPERATURES.index(2)]["facts"][1])
    assert at_two == pytest.approx(terms[0].value, rel=1e-4), "what explain says"
    assert soft["told"].startswith("teacher, positive: ")
    assert soft["next"].startswith("student, positive: ")


@pytest.mark.parametrize("page", ["tags", "words", "answers"])
def test_rows_of_soft_labels(page, place, site, tmp_path):
    """The mean over rows at the slider's first temperature is the value that explain has."""
    seen, console = look(site[0], f"{page}.html", tmp_path)
    assert seen["errors"] == console == []
    (soft,) = seen["temperature"]
    paths = [place / f"{page}-student", place / page]
    text = {"tags": (TEXT,), "words": ("the [MASK] is funny",), "answers": ("the film", TEXT)}[page]
    (student, reading, ours), (teacher, _, theirs) = (forward(path, *text) for path in paths)
    head, at = student.heads[0], TEMPERATURES.index(2)
    rows = {"tags": len(reading.tokens), "words": 1, "answers": 2}[page]
    assert len(soft["rows"]) == rows
    for r in range(rows):
        if page == "answers":
            z = [out[head.score_outputs[r]][None].astype(np.float64) for out in (ours, theirs)]
        else:
            places = reading.masks if page == "words" else range(rows)
            z = [out["logits"][[places[r]]].astype(np.float64) for out in (ours, theirs)]
        loss = soft_label_kl(*z, temperature=2.0)
        facts = np.array(soft["rows"][r][at]["facts"][:3], np.float64)
        np.testing.assert_allclose(
            facts, [loss.sum / 4, loss.sum, np.linalg.norm(loss.grad)], rtol=1e-9, atol=1e-15
        )
    if page == "words":
        names = soft["rows"][0][0]["names"]
        best = [np.argsort(-out["logits"][reading.masks[0]], kind="stable")[:10] for out in (theirs, ours)]
        wanted = list(dict.fromkeys(np.concatenate(best).tolist()))
        assert names == [VOCABULARY[i] for i in wanted], "the likeliest of each, the teacher's first"
        table = np.array(soft["rows"][0][at]["table"], np.float64)
        chances = np.exp(theirs["logits"][reading.masks[0]].astype(np.float64) / 2)
        np.testing.assert_allclose(table[:, 0], (chances / chances.sum())[wanted], rtol=1e-12)
    else:
        (term,) = explain(student, teacher, reading.batch, {"soft": 1.0})
        assert float(soft["rows"][0][at]["facts"][3]) == pytest.approx(term.value, rel=1e-4)
    if page == "tags":
        shown = {heat["title"]: heat for heat in seen["heat"][::-1]}
        np.testing.assert_array_equal(numbers(shown["Scores"]["tables"][0]), ours["logits"])
        assert "B-<i>" in seen["text"]


def test_predictions(place, site, tmp_path):
    seen, console = look(site[0], "predictions.html", tmp_path)
    assert seen["errors"] == console == []
    assert len(seen["attention"]) == 2, "one a text"
    _, _, outputs = forward(place / "classifier", TEXT)
    check_attention(seen["attention"][0]["sides"], [outputs])
    assert seen["attention"][0]["hovered"][0].startswith("[CLS] looks at [CLS]. layer 0, head 0: ")


@pytest.mark.parametrize("page", ["two", "evil", "tags", "words", "answers", "long", "predictions"])
def test_on_a_phone(page, place, site, tmp_path):
    seen, console = look(site[0], f"{page}.html&{PHONE}", tmp_path)
    assert seen["errors"] == console == []
    assert seen["scroll"] <= PHONE
    assert seen["wide"] == []
    assert seen["cut"] == [], "nor does a table scroll, of a text this short"
    if page == "evil":
        assert EVIL in seen["text"], "shown, and not run"
        assert seen["scripts"] == 1
    if page == "long":
        assert "longer" in seen["text"]
    assert {path.partition("?")[0] for path in site[1]} <= {
        "/harness.html", "/favicon.ico", *(f"/{file.name}" for file in place.glob("*.html")),
    }, "nothing else is fetched"  # fmt: skip


def test_in_the_dark(site, tmp_path):
    for flags, paper, ink in (
        ([], "rgb(255, 255, 255)", "rgba(0, 114, 178"),
        (["--blink-settings=preferredColorScheme=0"], "rgb(22, 22, 22)", "rgba(0, 171, 255"),
    ):
        seen, console = look(site[0], "predictions.html", tmp_path, flags=flags)
        assert seen["errors"] == console == []
        assert seen["paper"] == paper
        assert all(colour.startswith(ink) for colour in seen["attention"][0]["sides"][0]["colours"])


def test_on_paper(place, tmp_path):
    paper = tmp_path / "page.pdf"
    browse(tmp_path, f"--print-to-pdf={paper}", (place / "two.html").as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 20


def test_without_a_script(place, tmp_path):
    """Without its script the page shows the pictures and tables that Python put there."""
    html = (place / "two.html").read_text(encoding="utf-8")
    still = tmp_path / "still.html"
    still.write_text(re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL), encoding="utf-8")
    dumped = browse(tmp_path, "--dump-dom", still.as_uri()).stdout
    assert 'role="grid"' not in dumped
    assert dumped.count("<img") > 3 * 2 + 6 * 2, "a picture of each head, and others"
    assert "soft" in dumped

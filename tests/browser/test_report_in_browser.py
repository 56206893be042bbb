"""Pages in Chromium: a phone's width, no network, nothing that runs, print, colours of the style sheet."""

import re
from dataclasses import replace

import pytest
from browser_tools import BROWSER, browse, look, served

from minidistil.report.evaluate_page import write_evaluation_page
from minidistil.report.page import Page
from minidistil.report.run import RunRecord, Stage
from minidistil.report.run_page import run_page

if BROWSER is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

PHONE = 360  # CSS pixels
WIDTHS = (360, 400)
EVIL = '</pre><script>document.title = "taken over"</script><img src="http://example.invalid/x.png">'

# Looks at the page in a frame as wide as a phone, and leaves what it saw in its own document.
HARNESS = """<!doctype html><body>
<iframe height="640" style="border:0"></iframe>
<script>
const [width, address] = location.search.slice(1).split(",");
const frame = document.querySelector("iframe");
frame.width = width;
frame.src = address;
frame.onload = () => {
  const doc = frame.contentDocument;
  doc.querySelectorAll("details").forEach(e => { e.open = true; });
  const style = (selector, name) => [...doc.querySelectorAll(selector)].map(e => getComputedStyle(e)[name]);
  const scrolls = e => e && (getComputedStyle(e).overflowX === "auto" || scrolls(e.parentElement));
  const all = [...doc.body.querySelectorAll("*")];
  const wide = all.filter(e => e.getBoundingClientRect().right > +width + 0.5 && !scrolls(e))
    .map(e => e.tagName);
  const text = e => e.getBoundingClientRect().height;
  document.body.textContent = "SEEN" + JSON.stringify({
    title: doc.title, scroll: doc.documentElement.scrollWidth, wide,
    scrolled: all.filter(e => getComputedStyle(e).overflowX === "auto" && e.scrollWidth > e.clientWidth + 1)
      .map(e => e.querySelector("table").className || `${e.scrollWidth} of ${e.clientWidth}`),
    scripts: doc.scripts.length, images: doc.images.length,
    charts: [...doc.querySelectorAll("svg")].map(e => e.getBoundingClientRect().width),
    letters: [...doc.querySelectorAll("svg text")].map(text),
    outside: [...doc.querySelectorAll("svg text")].filter(e => {
      const [a, b] = [e.getBoundingClientRect(), e.ownerSVGElement.getBoundingClientRect()];
      return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1 || a.top < b.top - 1;
    }).map(e => e.textContent),
    headings: [...doc.querySelectorAll("h2")].map(e => e.textContent),
    cells: [...doc.querySelectorAll(".stack td[data-label]")]
      .filter(e => e.getBoundingClientRect().width > 0).map(e => [e.dataset.label, e.textContent]),
    settings: doc.querySelector("pre")?.textContent,
    ink: style("body", "color")[0], paper: style("body", "backgroundColor")[0],
    lines: style(".line", "stroke"), levels: style("path.level", "stroke"), bars: style(".bar span", "width"),
    heat: style(".heat td", "backgroundColor"), marks: style("mark", "backgroundColor"),
    hollow: style("circle.open", "fill"),
  }) + "END";
};
</script>"""


def the_run(here):
    """A run of everything that a report can hold, but for details of its evaluation."""
    records = [
        {"kind": "train", "step": i, "loss": 3 / i, "soft": 2 / i, "hard": 1 / i, "cosine": 0.1, "lr": 1e-4}
        for i in range(1, 40)
    ]
    records += [{"kind": "eval", "step": step, "masked_lm": 1.5, "accuracy": 0.76} for step in (20, 39)]
    models = {
        name: {"layers": 12, "parameters": 10**8, "bytes": 4 * 10**8, "masked_lm": 1.0, "perplexity": 2.7,
               "accuracy": 0.8, "sequences_per_second": 123.4}
        for name in ("teacher", "student")
    }  # fmt: skip
    stage = Stage()
    for record in records:
        stage.add(record)
    return RunRecord(
        path=here / "a<b>&c",
        report={"models": models},
        settings={"note": EVIL, "train": {"lr": 1e-4, "long": "x" * 300}},
        made_with={"numpy": EVIL, "processor": "p" * 200},
        stages={"": stage},
        teacher=models["teacher"],
    )


def the_details():
    """Numbers of an evaluation of five classes with long names, and its details."""
    names = ["negative", EVIL, "w" * 60, "quite a long name of a class, with spaces", "x"]
    scores = {"precision": 0.987654, "recall": 0.25, "f1": 0.5, "support": 123456, "average_precision": 0.5}
    facts = {
        "accuracy": 0.8125,
        "f1_macro": 0.5,
        "classes": dict.fromkeys(names, scores),
        "confusion": [[4000 * (i + 1) * (j + 1) for j in range(5)] for i in range(5)],
    }
    example = {
        "value": 7.25, "line": 1234, "texts": {"text": "y" * 400, "second text": EVIL}, "right": "w" * 60,
        "given": EVIL, "probability": 0.9876,
    }  # fmt: skip
    details = {
        "worst": {"measure": "loss (nats)", "about": "So it is.", "of": 20, "examples": [example] * 3},
        "calibration": [
            {"low": i / 5, "high": (i + 1) / 5, "examples": 10, "confidence": i / 5 + 0.1, "accuracy": i / 5}
            for i in range(2, 5)
        ],
        "thresholds": [
            {"threshold": i / 10, "answered": 1 - i / 10, "accuracy": i / 10} for i in range(1, 10)
        ],
    }
    return facts, details


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The directory that is served, with a page of everything a report can hold."""
    here = tmp_path_factory.mktemp("site")
    run = the_run(here)
    grid = [[0.1 * ((i + j) % 10) for j in range(13)] for i in range(7)]
    (here / "report.html").write_text(run_page(run, {"cka": grid, "cosine": grid}), encoding="utf-8")
    facts, details = the_details()
    models = {
        name: {"accuracy": {"mean": 0.8, "lowest": 0.7, "highest": 0.9}, "examples_per_second": 123.4}
        for name in ("teacher", "student")
    }
    parts = {
        f"seed-{i}": replace(
            run, report={"models": {"student": facts | {"matthews": 0.5, "calibration_error": 0.1}}}
        )
        for i in range(5)
    }
    seeds = replace(run, report={"models": models}, stages={}, parts=parts)
    links = {name: f"./{name}/report.html" for name in parts}
    (here / "seeds.html").write_text(run_page(seeds, links=links), encoding="utf-8")
    answers = replace(run, report={"models": {"model": facts}}, evaluation={"model": details}, teacher={})
    uneven = Stage()
    for step in (10, 20, 30, 34):
        uneven.add({"kind": "train", "step": step, "loss": 0.123456, "lr": 0.00001234})
    (here / "answers.html").write_text(run_page(replace(answers, stages={"": uneven})), encoding="utf-8")
    write_evaluation_page(
        here / "evaluated.html", facts, details, model="runs/" + "m" * 80, task="classification",
        data=["d" * 90 + ".tsv"], examples=12345,
    )  # fmt: skip
    text = "Ada was born in London"
    types = [
        {"type": "PER", "start": 0, "end": 3, "score": 1},
        {"type": "LOC", "start": 16, "end": 22, "score": 1},
    ]
    tags = Page("predictions.html").render(
        title="", task="token-classification", results=[({"text": text, "entities": types}, None)]
    )
    (here / "tags.html").write_text(tags, encoding="utf-8")
    scores = {"text": EVIL * 9, "scores": {"a" * 40: 0.75, "b": 0.25}}
    labels = Page("predictions.html").render(title="", task="text-classification", results=[(scores, None)])
    (here / "labels.html").write_text(labels, encoding="utf-8")
    (here / "harness.html").write_text(HARNESS, encoding="utf-8")
    return here


@pytest.fixture(scope="module")
def site(place):
    """Its address, and the paths that were asked for."""
    with served(place) as found:
        yield found


def observe(site, page, tmp_path, *, width=PHONE, flags=()):
    """Observations of the harness on a page, in whose console nothing was said."""
    seen, console = look(site[0], f"{width},{page}", tmp_path, flags=flags)
    assert [line for line in console if "favicon" not in line] == []
    return seen


def test_on_a_phone(site, tmp_path):
    seen = observe(site, "report.html", tmp_path)
    assert seen["title"] == "a<b>&c: a run of minidistil"
    assert seen["scroll"] <= PHONE
    assert seen["wide"] == []
    assert seen["scripts"] == seen["images"] == 0
    assert 'script>document.title = \\"taken over' in seen["settings"], "shown, and not run"
    assert len(seen["charts"]) == 7
    assert all(200 < width <= PHONE for width in seen["charts"])
    assert seen["headings"] == ["Models", "Training", "Layer by layer", "Settings", "Made with"]
    assert set(seen["lines"]) == {"rgb(0, 114, 178)"}
    assert len(seen["levels"]) == 2, "the teacher's"
    assert seen["heat"][1:4] == [f"rgba(0, 114, 178, {0.075 * i:.3g})" for i in (0, 1, 2)]
    assert ["student", "80.0%"] in seen["cells"], "the last column is on the screen"
    assert {"/harness.html?360,report.html", "/report.html"} <= set(site[1]) <= {
        "/harness.html?360,report.html", "/report.html", "/favicon.ico",
    }, "nothing else is fetched"  # fmt: skip


@pytest.mark.parametrize("page", ["report.html", "seeds.html", "answers.html", "evaluated.html"])
def test_nothing_is_cut_off(page, site, tmp_path):
    """On phones, on a tablet, and on a large screen; only maps of many layers scroll by themselves."""
    for width in (*WIDTHS, 620, 1280):
        seen = observe(site, page, tmp_path, width=width)
        assert seen["scroll"] <= width
        assert seen["wide"] == []
        assert set(seen["scrolled"]) <= {"heat"}
        assert seen["scripts"] == seen["images"] == 0
        assert seen["outside"] == [], "letters of a chart stay in its frame"
        assert all(height >= 11 for height in seen["letters"]), "and can be read"


def test_the_last_point_is_hollow(site, tmp_path):
    seen = observe(site, "answers.html", tmp_path)
    assert seen["hollow"] == ["rgb(255, 255, 255)"]
    assert "Answers of the model" in seen["headings"]


def test_dark(site, tmp_path):
    light = observe(site, "answers.html", tmp_path)
    assert (light["ink"], light["paper"]) == ("rgb(34, 34, 34)", "rgb(255, 255, 255)")
    dark = observe(site, "answers.html", tmp_path, flags=["--blink-settings=preferredColorScheme=0"])
    assert (dark["ink"], dark["paper"]) == ("rgb(232, 232, 232)", "rgb(22, 22, 22)")
    assert dark["hollow"] == ["rgb(22, 22, 22)"]


def test_predictions_on_a_phone(site, tmp_path):
    seen = observe(site, "tags.html", tmp_path)
    assert seen["marks"] == ["rgba(213, 94, 0, 0.3)", "rgba(0, 114, 178, 0.3)"], "a type, a colour"
    seen = observe(site, "labels.html", tmp_path)
    assert seen["scroll"] <= PHONE
    assert seen["wide"] == []
    assert seen["scripts"] == seen["images"] == 0
    assert seen["bars"] == ["96px", "32px"], "three to one"


@pytest.mark.parametrize("page", ["report.html", "answers.html", "seeds.html"])
def test_on_paper(page, place, tmp_path):
    paper = tmp_path / "report.pdf"
    browse(tmp_path, f"--print-to-pdf={paper}", (place / page).as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 8

"""Pages in Chromium: a phone's width, no network, nothing that runs, print, colours of the style sheet."""

import re

import pytest
from browser_tools import BROWSER, browse, look, served

from minidistil.report.page import Page
from minidistil.report.run import RunRecord, Stage
from minidistil.report.run_page import run_page

if BROWSER is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

PHONE = 360  # CSS pixels
EVIL = '</pre><script>document.title = "taken over"</script><img src="http://example.invalid/x.png">'

# Looks at the page in a frame as wide as a phone, and leaves what it saw in its own document.
HARNESS = f"""<!doctype html><body>
<iframe width="{PHONE}" height="640" style="border:0"></iframe>
<script>
const frame = document.querySelector("iframe");
frame.src = location.search.slice(1);
frame.onload = () => {{
  const doc = frame.contentDocument;
  const style = (selector, name) => [...doc.querySelectorAll(selector)].map(e => getComputedStyle(e)[name]);
  const scrolls = e => e && (getComputedStyle(e).overflowX === "auto" || scrolls(e.parentElement));
  const wide = [...doc.body.querySelectorAll("*")]
    .filter(e => e.getBoundingClientRect().right > {PHONE} + 0.5 && !scrolls(e)).map(e => e.tagName);
  document.body.textContent = "SEEN" + JSON.stringify({{
    title: doc.title, scroll: doc.documentElement.scrollWidth, wide,
    scripts: doc.scripts.length, images: doc.images.length,
    charts: [...doc.querySelectorAll("svg")].map(e => e.getBoundingClientRect().width),
    headings: [...doc.querySelectorAll("h2")].map(e => e.textContent),
    settings: doc.querySelector("pre")?.textContent,
    lines: style(".line", "stroke"), levels: style("path.level", "stroke"), bars: style(".bar span", "width"),
    heat: style(".heat td", "backgroundColor"), marks: style("mark", "backgroundColor"),
  }}) + "END";
}};
</script>"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The directory that is served, with a page of everything a report can hold."""
    here = tmp_path_factory.mktemp("site")
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
    run = RunRecord(
        path=here / "a<b>&c",
        report={"models": models},
        settings={"note": EVIL, "train": {"lr": 1e-4, "long": "x" * 300}},
        made_with={"numpy": EVIL, "processor": "p" * 200},
        stages={"": stage},
        teacher=models["teacher"],
    )
    grid = [[0.1 * ((i + j) % 10) for j in range(13)] for i in range(7)]
    (here / "report.html").write_text(run_page(run, {"cka": grid, "cosine": grid}), encoding="utf-8")
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


def test_on_a_phone(site, tmp_path):
    address, asked = site
    seen, _ = look(address, "report.html", tmp_path)
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
    assert set(asked) <= {"/harness.html?report.html", "/report.html", "/favicon.ico"}, (
        "nothing else is fetched"
    )


def test_predictions_on_a_phone(site, tmp_path):
    seen, _ = look(site[0], "tags.html", tmp_path)
    assert seen["marks"] == ["rgba(213, 94, 0, 0.3)", "rgba(0, 114, 178, 0.3)"], "a type, a colour"
    seen, _ = look(site[0], "labels.html", tmp_path)
    assert seen["scroll"] <= PHONE
    assert seen["wide"] == []
    assert seen["scripts"] == seen["images"] == 0
    assert seen["bars"] == ["96px", "32px"], "three to one"


def test_on_paper(place, tmp_path):
    paper = tmp_path / "report.pdf"
    browse(tmp_path, f"--print-to-pdf={paper}", (place / "report.html").as_uri())
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 8

"""minidistil report: one page that needs nothing else, whatever the run holds."""

import json
import re
import shutil
import statistics
from html.parser import HTMLParser

import pytest
from tiny import CONFIG, make_tokenizer

from minidistil.cli.main import main
from minidistil.distill import init_student
from minidistil.errors import DataError
from minidistil.model import BertForMaskedLM
from minidistil.report.chart import Chart
from minidistil.report.run import read_run
from minidistil.report.run_page import run_page
from minidistil.text.tokenizer import Tokenizer

EVIL = '</pre><script>alert("x")</script>'


@pytest.fixture
def run(tmp_path):
    """A distillation's directory, with a name and a setting that would like to be HTML."""
    here = tmp_path / "a<b>&c"
    here.mkdir()
    models = {
        "teacher": {"layers": 6, "parameters": 1000, "masked_lm": 1.0, "perplexity": 2.7, "accuracy": 0.8},
        "student": {"layers": 3, "parameters": 600, "masked_lm": 1.5, "perplexity": 4.5, "accuracy": 0.76},
    }
    about = {"recipe": {"train": {"lr": 1e-3}, "note": EVIL}, "made_with": {"numpy": EVIL}, "teacher": "0"}
    (here / "run.json").write_text(json.dumps(about))
    (here / "report.json").write_text(json.dumps({"models": models}))
    (here / "teacher.json").write_text(json.dumps(models["teacher"]))
    records = [
        {"kind": "train", "step": i, "loss": 3 / i, "soft": 2 / i, "hard": 1 / i, "lr": 0.1 / i, "tokens": 10,
         "seconds": float(i), "grad_norm": None, "tokens_per_second": 10.0}
        for i in range(1, 9)
    ]  # fmt: skip
    records += [{"kind": "eval", "step": step, "masked_lm": 1.5, "accuracy": 0.76} for step in (4, 8)]
    worst = {
        "measure": "loss (nats)",
        "about": "So.",
        "of": 9,
        "examples": [{"value": 2.5, "texts": {"text": EVIL}}],
    }
    (here / "evaluation.json").write_text(json.dumps({"models": {"student": {"worst": worst}}}))
    (here / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records) + '{"kind": "tr')
    return here


class Reader(HTMLParser):
    """Every tag closed, and all that a browser would fetch."""

    EMPTY = ("meta", "path", "circle", "i")

    def __init__(self):
        super().__init__()
        self.open, self.links, self.text, self.tags = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html):
    reader = Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def cells_of(html):
    """Contents of all cells of tables."""
    return re.findall(r"<td[^>]*>([^<]*)</td>", html)


def test_the_page(run, capsys):
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    html = (run / "report.html").read_text()
    reader = read(html)
    assert reader.links == [], "nothing is fetched"
    assert "script" not in reader.tags, "texts are escaped"
    text = " ".join(reader.text)
    assert EVIL in text
    assert "95.0%" in text, "retained"
    assert "lr = 0.001" in text
    assert html.count("<svg") == 6, "loss, two terms, two metrics, learning rate"
    assert "url(" not in html
    assert "http" not in html.replace("http-equiv", "")


def test_a_task_is_judged_by_its_own_metric(run):
    models = {
        "teacher": {"matthews": 0.5, "accuracy": 0.8},
        "student": {"matthews": 0.45, "examples_per_second": 7.2},
    }
    (run / "report.json").write_text(json.dumps({"primary": "matthews", "models": models}))
    text = " ".join(read(run_page(read_run(run))).text)
    assert "90.0%" in text
    assert "share of the teacher's matthews" in text
    assert "examples/s" in text
    assert "0.45" in text


def test_nothing_retains_what_is_better_for_being_less(run):
    models = {"teacher": {"perplexity": 8.0}, "student": {"perplexity": 16.0}}
    report = {"primary": "perplexity", "better": "lower", "models": models}
    (run / "report.json").write_text(json.dumps(report))
    text = " ".join(read(run_page(read_run(run))).text)
    assert "16.0" in text
    assert "200" not in text
    assert "share of the teacher" not in text


def test_a_run_that_goes_on(run):
    (run / "report.json").unlink()
    (run / "work").mkdir()
    (run / "metrics.jsonl").rename(run / "work" / "metrics.jsonl")
    text = " ".join(read(run_page(read_run(run))).text)
    assert "has not finished" in text
    assert "loss" in text


def test_what_is_no_run(tmp_path, run):
    with pytest.raises(DataError, match="holds no run"):
        read_run(tmp_path)
    (run / "report.json").write_text("{")
    with pytest.raises(DataError, match=r"report\.json is not JSON"):
        read_run(run)
    (run / "report.json").write_text("{}")
    (run / "metrics.jsonl").write_text('{"kind": \n{"kind": "train"}\n')
    with pytest.raises(DataError, match="line 1: is not JSON"):
        read_run(run)
    (run / "metrics.jsonl").write_text("[]\n")
    with pytest.raises(DataError, match="line 1: is not a JSON object"):
        read_run(run)


def test_what_is_not_defined_is_left_out(run):
    """A correlation with a constant is null in report.json."""
    for teacher, student in ((0.5, None), (None, 0.5)):
        models = {"teacher": {"pearson": teacher}, "student": {"pearson": student}}
        (run / "report.json").write_text(json.dumps({"primary": "pearson", "models": models}))
        assert "0.5" in cells_of(run_page(read_run(run)))


def test_layers_side_by_side(run, tmp_path, capsys):
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    teacher = BertForMaskedLM(CONFIG, seed=3)
    teacher.save_pretrained(tmp_path / "t", tokenizer=tokenizer)
    init_student(teacher, "first:2").save_pretrained(run / "model", tokenizer=tokenizer)
    arguments = ["report", str(run), "--teacher", str(tmp_path / "t"), "--text", "the film is warm"]
    assert main([*arguments, "--out", str(tmp_path / "page.html")]) == 0
    html = (tmp_path / "page.html").read_text()
    read(html)
    assert "Linear CKA" in html
    (run / "model").rename(tmp_path / "elsewhere")
    assert main(arguments) == 2
    assert "has no model yet" in capsys.readouterr().err
    assert main(["report", str(run), "--text", "the film"]) == 2
    assert "--text goes with a teacher" in capsys.readouterr().err
    init_student(teacher, "first:2").save_pretrained(run, tokenizer=tokenizer)  # as a fine-tuning leaves it
    assert main([*arguments, "--out", str(tmp_path / "again.html")]) == 0
    assert "Linear CKA" in (tmp_path / "again.html").read_text()
    (tmp_path / "vocabulary" / "vocab.txt").write_text((run / "vocab.txt").read_text() + "more\n")
    other = Tokenizer.from_pretrained(tmp_path / "vocabulary")
    BertForMaskedLM(CONFIG.replace(vocab_size=20), seed=3).save_pretrained(tmp_path / "o", tokenizer=other)
    assert main(["report", str(run), "--teacher", str(tmp_path / "o")]) == 3
    assert "has another vocabulary than" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("teacher", "student", "share"),
    [(-0.0552, -0.2733, None), (0.5, -0.1, None), (0.0, 0.5, None), (0.5, 0.25, "50.0%"), (0.5, 0.0, "0.0%")],
)
def test_there_is_no_share_of_what_is_below_0(run, teacher, student, share):
    models = {"teacher": {"pearson": teacher}, "student": {"pearson": student}}
    (run / "report.json").write_text(json.dumps({"primary": "pearson", "models": models}))
    html = run_page(read_run(run))
    assert ("retained" in html) == (share is not None)
    assert share is None or share in cells_of(html)


WRONG = [
    ("report.json", "models", [1]),
    ("report.json", "models", {"teacher": 3}),
    (
        "report.json",
        "models",
        {"teacher": {"layers": 1.5, "parameters": "x", "bytes": None, "accuracy": [1]}},
    ),
    ("report.json", "models", {"teacher": {"accuracy": 10**400}, "student": {"accuracy": True}}),
    ("report.json", "primary", ["a"]),
    ("run.json", "recipe", "x"),
    ("run.json", "made_with", [1]),
    ("run.json", "recipe", {"a": [None, {"b": 1}]}),
    ("teacher.json", "accuracy", {"a": 1}),
    ("metrics.jsonl", "step", "x"),
    ("metrics.jsonl", "step", None),
    ("metrics.jsonl", "tokens", "x"),
    ("metrics.jsonl", "tokens", 1e300),
    ("metrics.jsonl", "seconds", [3]),
    ("metrics.jsonl", "loss", 10**400),
    ("metrics.jsonl", "kind", {"a": 1}),
    ("metrics.jsonl", "stage", ["a"]),
    ("evaluation.json", "models", [1]),
    ("evaluation.json", "models", {"student": 3}),
    *(
        ("evaluation.json", "models", {"student": {key: value}})
        for key in (
            "worst",
            "calibration",
            "thresholds",
            "confusion",
            "classes",
            "names",
            "confusions",
            "counted",
        )
        for value in (3, "x", [1], {"a": 1}, {"a": {"b": [1]}}, [{"a": 1}, "b"], [[1, 2]], [["x"]], None)
    ),
    (
        "evaluation.json",
        "models",
        {"student": {"worst": {"examples": [{"texts": 3, "value": "x", "right": [1]}]}}},
    ),
]


@pytest.mark.parametrize(("file", "key", "value"), WRONG)
def test_values_of_other_types_are_drawn_without_or_named(run, capsys, file, key, value):
    if file == "metrics.jsonl":
        line = {"kind": "train", "step": 9, "loss": 1.0, "tokens": 1, "seconds": 1.0, key: value}
        whole = (run / file).read_text().rpartition("\n")[0]
        (run / file).write_text(whole + "\n" + json.dumps(line) + "\n")
    else:
        (run / file).write_text(json.dumps({**json.loads((run / file).read_text()), key: value}))
    code = main(["report", str(run)])
    said = capsys.readouterr().err
    assert code in (0, 3)
    assert "Traceback" not in said
    assert code == 0 or (len(said.splitlines()) == 1 and file in said)
    if code == 0:
        read((run / "report.html").read_text())


def test_several_seeds_are_one_page(run, tmp_path, capsys):
    place = tmp_path / "seeds"
    for seed in range(3):
        shutil.copytree(run, place / f"seed-{seed}")
        models = {"model": {"layers": 3, "accuracy": 0.7 + 0.1 * seed}}
        (place / f"seed-{seed}" / "report.json").write_text(json.dumps({"models": models}))
    spread = {"layers": {"mean": 3.0, "lowest": 3, "highest": 3},
              "accuracy": {"mean": 0.8, "lowest": 0.7, "highest": 0.9}}  # fmt: skip
    (place / "report.json").write_text(json.dumps({"seeds": 3, "models": {"model": spread}}))
    assert main(["report", str(place)]) == 0
    reader = read((place / "report.html").read_text())
    text = " ".join(reader.text)
    assert "80.0% (70.0% to 90.0%)" in text
    assert "3" in cells_of((place / "report.html").read_text()), "no half layers"
    assert [name for name in reader.text if name.startswith("seed-")][:3] == ["seed-0", "seed-1", "seed-2"]
    assert reader.tags.count("svg") == 3, "loss and two metrics, a line for each seed"
    assert (place / "report.html").read_text().count('class="line"') == 9
    (place / "seed-0").rename(place / "rte")
    for seed in (1, 2):
        shutil.rmtree(place / f"seed-{seed}")
    assert main(["report", str(place)]) == 3
    assert "these directories in it hold one: rte" in capsys.readouterr().err


def test_a_long_run_is_a_light_page(run):
    n, low = 60_000, 31_234
    with open(run / "metrics.jsonl", "w") as file:
        for step in range(1, n + 1):
            loss = 1 / step + (-7 if step == low else 0)
            file.write(f'{{"kind": "train", "step": {step}, "loss": {loss}, "lr": 1e-4}}\n')
    (run / "report.json").write_text('{"models": {}}')
    html = run_page(read_run(run))
    assert len(html) < 60_000
    path = html.split('class="line"')[1].split('d="M')[1].split('"')[0]
    points = [tuple(map(float, pair.split())) for pair in path.split("L")]
    assert len(points) < 4 * 640
    assert (points[0][0], points[-1][0]) == (Chart.left, Chart.right), "from the first step to the last"
    deepest = max(points, key=lambda point: point[1])
    width = Chart.right - Chart.left
    assert deepest[0] == pytest.approx(Chart.left + (low - 1) / (n - 1) * width, abs=0.06)


def seeds_of(run, place, values):
    for seed, value in enumerate(values):
        shutil.copytree(run, place / f"seed-{seed}")
        models = {"model": {"layers": 3, "accuracy": value, "f1": value / 2}}
        report = {"models": models, "evaluated": 40}
        (place / f"seed-{seed}" / "report.json").write_text(json.dumps(report))
    spread = {"mean": statistics.fmean(values), "lowest": min(values), "highest": max(values)}
    report = {"seeds": len(values), "evaluated": 40, "models": {"model": {"accuracy": spread}}}
    (place / "report.json").write_text(json.dumps(report))


def test_seeds_have_their_spread_and_their_pages(run, tmp_path):
    place, values = tmp_path / "seeds", [0.7, 0.8, 0.95]
    seeds_of(run, place, values)
    assert main(["report", str(place)]) == 0
    html = (place / "report.html").read_text()
    rows = {
        name: cells_of(cells)
        for name, cells in re.findall(
            r'<th scope="row" role="rowheader">(?:<a[^>]*>)?([^<]*)(.*?)</tr>', html
        )
    }
    assert rows["seed-1"] == ["80.0%", "0.4"]
    assert rows["mean"] == [f"{statistics.fmean(values):.1%}", f"{statistics.fmean(values) / 2:.4g}"]
    assert rows["standard deviation"][0] == f"{statistics.stdev(values):.1%}"
    assert (rows["lowest"][0], rows["highest"][0]) == ("70.0%", "95.0%")
    assert read(html).links == [f"./seed-{i}/report.html" for i in range(3)]
    for seed in range(3):
        read((place / f"seed-{seed}" / "report.html").read_text())
    assert "Means over 3 seeds" in html
    elsewhere = tmp_path / "pages" / "page.html"
    elsewhere.parent.mkdir()
    (place / "seed-1" / "report.html").unlink()
    assert main(["report", str(place), "--out", str(elsewhere)]) == 0
    assert read(elsewhere.read_text()).links == [
        "./../seeds/seed-0/report.html",
        "./../seeds/seed-2/report.html",
    ]
    assert not (place / "seed-1" / "report.html").exists(), "a page elsewhere writes nothing here"


def test_one_seed_has_no_spread(run, tmp_path):
    seeds_of(run, tmp_path / "seeds", [0.7])
    html = run_page(read_run(tmp_path / "seeds"))
    assert "standard deviation" not in html
    assert "70.0%" in cells_of(html)


def test_glue_is_a_page_of_its_tasks(run, tmp_path):
    place = tmp_path / "glue"
    shutil.copytree(run, place / "rte")
    seeds_of(run, place / "cola", [0.1, 0.3])
    tasks = {
        "rte": {"accuracy": 0.625, "primary": 0.625, "score": 0.625},
        "cola": {"matthews": 0.2, "lowest": 0.1, "highest": 0.3, "primary": 0.2, "score": 0.2},
    }
    models = {"model": {"tasks": tasks, "macro": 0.4125, "glue_score": 0.4125, "measured": 2}}
    (place / "report.json").write_text(json.dumps({"task": "glue", "models": models, "missing": {}}))
    assert main(["report", str(place)]) == 0
    html = (place / "report.html").read_text()
    assert {"accuracy 62.5", "matthews 20.0 (10.0 to 30.0)", "41.2", "2"} <= set(cells_of(html))
    assert sorted(read(html).links) == ["./cola/report.html", "./rte/report.html"]
    assert "seed-1" in (place / "cola" / "report.html").read_text()


def test_the_page_has_the_reports_numbers(run):
    names = ["bad", "good"]
    facts = {
        "accuracy": 0.8125, "f1": 0.123456, "positive": "good", "calibration_error": 0.034567,
        "classes": {name: {"precision": 0.5, "recall": 0.25 + i, "f1": 0.987654, "support": 1234}
                    for i, name in enumerate(names)},
        "confusion": [[1230, 4], [200, 1034]],
    }  # fmt: skip
    report = {"models": {"model": facts}, "evaluated": 2468, "seen": 64, "examples": 5000}
    (run / "report.json").write_text(json.dumps(report))
    (run / "teacher.json").unlink()
    worst = {"measure": "loss (nats)", "about": "So it is.", "of": 2468, "lowest": False, "examples": [
        {"value": 7.654321, "line": 12, "texts": {"text": "a warm film"}, "right": "good", "given": "bad",
         "probability": 0.9876}]}  # fmt: skip
    (run / "evaluation.json").write_text(json.dumps({"models": {"model": {"worst": worst}}}))
    html = run_page(read_run(run))
    shown = cells_of(html)
    for value in ("81.2%", "0.1235", "0.03457", "0.9877", "1,234", "1,230", "4", "200", "1,034"):
        assert value in shown, value
    text = " ".join(" ".join(read(html).text).split())
    assert "64 of 5,000" in text
    assert "f1 of good" in text
    assert "Measured after the training, on all 2,468 held-out examples." in text
    assert "Examples with the highest loss" in text
    assert "1 of 2,468. So it is." in text
    for value in ("a warm film", "7.654", "bad (98.8%)", "12"):
        assert value in text, value


def test_many_classes_are_a_list_of_mistakes(run):
    names = [f"class {i}" for i in range(40)]
    confusion = [[i if (i + 1) % 40 == j else 50 * (i == j) for j in range(40)] for i in range(40)]
    classes = {
        name: {"precision": 0.5, "recall": 0.5, "f1": i / 40, "support": 50} for i, name in enumerate(names)
    }
    facts = {"accuracy": 0.5, "classes": classes, "confusion": confusion}
    (run / "report.json").write_text(json.dumps({"models": {"model": facts}}))
    html = run_page(read_run(run))
    text = " ".join(" ".join(read(html).text).split())
    assert "30 of 40 classes, those with the lowest F1." in text
    assert "The most frequent mistakes" in text
    first = re.search(r'rowheader">class 39</th>\s*<td[^>]*>class 0</td>\s*<td[^>]*>39</td>', html)
    assert first is not None
    assert "class 31" not in html.split("The most frequent mistakes")[0].split("<h3>Classes")[1]


def test_a_run_of_before_has_a_page(run):
    (run / "evaluation.json").unlink()
    text = " ".join(read(run_page(read_run(run))).text)
    assert "95.0%" in text
    assert "highest loss" not in text

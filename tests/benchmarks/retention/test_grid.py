"""The grid on tiny models: each cell once, what makes another cell, failures, equal costs."""

import json
import math
from dataclasses import replace

import pytest
from tiny import BAD, CONFIG, GOOD, make_encoder, make_split, make_tokenizer

from benchmarks.retention import __main__ as command
from benchmarks.retention import cells
from benchmarks.retention.arms import ARMS, BEST, TAUGHT, TEACHER
from benchmarks.retention.cells import Cell, Grid, cells_of
from benchmarks.retention.examples import Split
from benchmarks.retention.finetuned import FineTuned
from benchmarks.retention.settings import Setting, files_of
from benchmarks.retention.table import Tables
from benchmarks.trials import Trials
from minidistil.errors import DataError
from minidistil.files import only_writer
from minidistil.jobs.finetune import FineTuning
from minidistil.model import BertModel

RECIPE = ("train.epochs=2", "train.lr=3e-3", "train.batch_size=8", "data.max_length=16")
CLASSES, NUMBERS = FineTuned("classification"), FineTuned("regression")
SPLIT = make_split(40, 20)


def reviews(folder):
    """Sentences of two classes."""
    (folder / "there").stat()
    train = zip(SPLIT.train_texts, SPLIT.train_labels, strict=True)
    test = zip(SPLIT.test_texts, SPLIT.test_labels, strict=True)
    learnt, measured = ([{"text": t, "label": str(n)} for t, n in part] for part in (train, test))
    return Split(learnt, measured, [{"text": f"{text} of"} for text in SPLIT.train_texts])


def lengths(folder):
    """The same as a regression: of how many words a sentence is."""
    texts = SPLIT.train_texts, SPLIT.test_texts
    return Split(*([{"text": text, "label": len(text.split())} for text in part] for part in texts))


SETTINGS = {
    "lengths": Setting(NUMBERS, lengths, RECIPE, from_data=False, texts=None),
    "reviews": Setting(CLASSES, reviews, RECIPE, ("teaching.temperature=4",), metric="matthews", texts=None),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An encoder, and a folder of data."""
    here = tmp_path_factory.mktemp("grid")
    make_encoder(here)
    (here / "data").mkdir()
    (here / "data" / "there").touch()
    return here


@pytest.fixture
def run(place, monkeypatch):
    """The command, on these settings."""
    monkeypatch.setattr(command, "SETTINGS", SETTINGS)

    def call(out, *arguments, data=True):
        given = ["--data", str(place / "data")] if data else []
        return command.main([*given, "--encoder", str(place / "encoder"), "--out", str(out), *arguments])

    return call


def grid(place, out, settings=SETTINGS):
    files = {
        name: files_of(name, setting, out / "examples", place / "data", write=True)
        for name, setting in settings.items()
    }
    return Grid(out, settings, files, {}, str(place / "encoder"))


@pytest.fixture
def counted(monkeypatch):
    """Fine-tunings that were begun."""
    begun = []
    before = FineTuning.run

    def count(self):
        begun.append(self.out.parent.name)
        return before(self)

    monkeypatch.setattr(FineTuning, "run", count)
    return begun


@pytest.fixture(scope="module")
def whole(place, tmp_path_factory):
    """A directory in which all cells of two seeds are done."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "SETTINGS", SETTINGS)
        arguments = ["--data", str(place / "data"), "--encoder", str(place / "encoder"), "--out", str(out)]
        assert command.main([*arguments, "--seeds", "0", "1"]) == 0
    return out


def test_all_cells_run_once_seed_by_seed(run, whole, counted, capsys):
    assert run(whole, "--seeds", "0", "1", "--json") == 0
    assert counted == []
    out, err = capsys.readouterr()
    assert "30 cells, 0 to run" in err
    found = json.loads(out)["settings"]
    assert found["reviews"]["metric"] == "matthews"
    assert list(found["reviews"]["arms"]) == list(ARMS)
    assert list(found["lengths"]["arms"]) == [arm for arm in ARMS if arm != BEST]
    assert list(found["lengths"]["arms"][TAUGHT]["values"]) == ["0", "1"]
    assert not any((whole / "students").iterdir())
    assert len(list((whole / "teachers").iterdir())) == 4


def test_tables_are_shown_without_data_and_beside_a_writer(run, whole, capsys):
    with only_writer(whole):
        assert run(whole, "--show", "--seeds", "0", "1", data=False) == 0
    out = capsys.readouterr().out
    assert "| reviews (matthews) | teacher |" in out
    assert "of 2 settings" in out
    assert "| setting | accuracy on its examples |" in out
    assert run(whole, "--list", "--seeds", "0", "1", data=False) == 0
    assert "14 of 14 cells" in capsys.readouterr().out


def test_order_is_seed_by_seed_with_teachers_first():
    order = list(cells_of(SETTINGS, [TAUGHT, BEST], [3, 1]))
    assert order == [
        Cell("lengths", TEACHER, 3),
        Cell("lengths", TAUGHT, 3),
        Cell("reviews", TEACHER, 3),
        Cell("reviews", TAUGHT, 3),
        Cell("reviews", BEST, 3),
        Cell("lengths", TEACHER, 1),
        Cell("lengths", TAUGHT, 1),
        Cell("reviews", TEACHER, 1),
        Cell("reviews", TAUGHT, 1),
        Cell("reviews", BEST, 1),
    ]


def test_a_stopped_grid_goes_on(run, tmp_path, counted, monkeypatch, capsys):
    before = Grid.run

    def stop(self, cell):
        if cell.arm == TAUGHT:
            raise KeyboardInterrupt
        return before(self, cell)

    chosen = ["--settings", "lengths", "--arms", "teacher-steps", TAUGHT, "--seeds", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(Grid, "run", stop)
        assert run(tmp_path, *chosen) == 130
    assert counted == ["teachers", "students"]
    assert run(tmp_path, *chosen) == 0
    assert counted == ["teachers", "students", "students"]
    err = capsys.readouterr().err
    assert "[1/3]" in err
    assert "1 to run" in err


def test_a_grid_that_was_killed_before_it_wrote_a_result(run, tmp_path, counted, monkeypatch):
    chosen = ["--settings", "lengths", "--arms", "encoder-steps", "--seeds", "0"]
    before = Trials.keep

    def kill(self, settings, result):
        if result.get("arm") == "encoder-steps":
            raise KeyboardInterrupt
        before(self, settings, result)

    with monkeypatch.context() as patch:
        patch.setattr(Trials, "keep", kill)
        assert run(tmp_path, *chosen) == 130
    assert run(tmp_path, *chosen) == 0
    assert counted == ["teachers", "students"], "the student was whole"
    assert not any((tmp_path / "students").iterdir())


def test_two_processes_are_refused(run, tmp_path, capsys):
    with only_writer(tmp_path):
        assert run(tmp_path, "--settings", "lengths") == 3
    assert "another process is writing" in capsys.readouterr().err


def test_a_failure_is_recorded_and_the_others_go_on(run, tmp_path, monkeypatch, capsys):
    chosen = ["--settings", "reviews", "--arms", TAUGHT, "teacher-steps", "--seeds", "0"]
    before = FineTuning.run

    def fail(self):
        if self.teaching is not None:
            self.out.mkdir(parents=True)
            raise DataError("a bad line", path="file", line=3)
        return before(self)

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, "run", fail)
        assert run(tmp_path, *chosen) == 1
    err = capsys.readouterr().err
    assert "reviews, seed 0, taught: FAILED: DataError: file, line 3: a bad line" in err
    assert "reviews, seed 0, teacher-steps: matthews" in err
    assert not any((tmp_path / "students").iterdir())
    assert run(tmp_path, "--list", "--seeds", "0") == 0
    assert "failed: reviews, seed 0, taught: DataError" in capsys.readouterr().out
    assert run(tmp_path, *chosen) == 0
    assert run(tmp_path, "--list", "--seeds", "0") == 0
    assert "failed:" not in capsys.readouterr().out


def test_students_of_a_teacher_that_failed_say_so(run, tmp_path, monkeypatch, capsys):
    def fail(self):
        raise ValueError("no")

    monkeypatch.setattr(FineTuning, "run", fail)
    assert run(tmp_path, "--settings", "lengths", "--arms", TAUGHT, "teacher-cost", "--seeds", "0") == 1
    err = capsys.readouterr().err
    assert "lengths, seed 0, teacher: FAILED: ValueError: no" in err
    assert err.count("FAILED: CellError: the teacher of this cell failed") == 2
    failure = json.loads((tmp_path / "failures" / "lengths-0-teacher.json").read_text())
    assert "in fail" in failure["traceback"]


def test_data_that_is_not_there(run, tmp_path, place, capsys):
    assert run(tmp_path, "--settings", "reviews", data=False) == 2
    assert "--data names their folder" in capsys.readouterr().err
    assert command.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 3
    assert f"{tmp_path / 'there'}: No such file" in capsys.readouterr().err


def test_a_further_arm_is_beside_the_others(run, whole, counted, capsys):
    hot = ["--arm", "hot", "--set", "teaching.temperature=4", "--settings", "reviews"]
    assert run(whole, *hot, "--seeds", "0") == 0
    assert counted == [], "it is what the best arm of this setting is"
    assert (
        run(whole, "--arm", "long", "--like", "encoder-steps", "--set", "train.max_steps=3", "--seeds", "1")
        == 0
    )
    assert counted == ["students"] * 2
    assert run(whole, "--show") == 0
    assert "| | long |" in capsys.readouterr().out
    assert run(whole, "--set", "teaching.temperature=4") == 2
    assert run(whole, "--arm", "taught") == 2


def two_labels(text):
    return {"text": text, "labels": [word for word in ("warm", "dull") if word in text]}


def tags(text):
    words = text.split()
    return {"tokens": words, "tags": ["B-WORD" if word in (*GOOD, *BAD) else "O" for word in words]}


def answer(text):
    begin = text.index(" is ") + 4
    found = {"text": [text[begin:].split()[0]], "answer_start": [begin]}
    return {"id": text, "question": "is the film", "context": text, "answers": found}


KINDS = {"multi-label": two_labels, "token-classification": tags, "question-answering": answer}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_goes_through(kind, place, tmp_path):
    def rows(folder):
        parts = SPLIT.train_texts, SPLIT.test_texts
        return Split(*([KINDS[kind](text) for text in dict.fromkeys(part)] for part in parts))

    recipe = (*RECIPE[:3], "data.max_length=20")
    one = grid(place, tmp_path, {"kind": Setting(FineTuned(kind), rows, recipe, texts=None)})
    found = {cell: one.run(cell) for cell in cells_of(one.settings, [TAUGHT, "teacher-cost"], [0])}
    assert one.results([0]) == found
    taught, alone = (found[Cell("kind", arm, 0)] for arm in (TAUGHT, "teacher-cost"))
    assert taught["steps"] < alone["steps"]
    assert alone["cost"] == pytest.approx(taught["cost"], rel=0.2)
    assert taught["about"]["teaching"]["teacher_on_examples"]
    columns = Tables(one.settings, found).columns["kind"]
    assert all(0 <= column.values[0] <= 100 for column in columns.values())


def test_texts_without_labels_are_the_taught_students(place, tmp_path):
    more = [row["text"] for row in reviews(place / "data").texts]
    setting = Setting(CLASSES, reviews, RECIPE, texts="taught")
    one = grid(place, tmp_path, {"more": setting})
    found = {cell.arm: one.run(cell) for cell in cells_of(one.settings, [TAUGHT, "teacher-cost"], [0])}
    # 80 texts in batches of 8, twice: 20 steps, and 40 texts of the student alone. The teacher reads all 80
    # once, which costs as much as 6 / (3 x 3) of 10 steps with texts as long as theirs.
    assert found[TEACHER]["steps"] == 10
    assert found[TAUGHT]["steps"] == 20
    ours = sum(len(text.split()) + 2 for text in SPLIT.train_texts)
    theirs = sum(len(text.split()) + 2 for text in more)
    assert found["teacher-cost"]["steps"] == 20 + math.ceil((ours + theirs) * 6 / (ours / 5 * 9))
    assert found[TAUGHT]["cost"] == (ours + theirs) * (2 * 9 + 6)
    alone, taught = (one.identity(Cell("more", arm, 0))["files"] for arm in ("teacher-cost", TAUGHT))
    assert set(taught) - set(alone) == {"unlabelled"}


def test_texts_without_labels_are_of_the_best_found_alone(place, tmp_path):
    settings = {"reviews": Setting(CLASSES, reviews, RECIPE)}
    one = grid(place, tmp_path, settings)
    taught, best = (one.identity(Cell("reviews", arm, 0))["files"] for arm in (TAUGHT, BEST))
    assert set(best) - set(taught) == {"unlabelled"}
    further = Grid(tmp_path, settings, one.files, {"x": replace(ARMS[TAUGHT], texts=True)}, one.encoder)
    assert further.identity(Cell("reviews", "x", 0))["files"] == best


def test_several_teachers_are_made_first(run, tmp_path, counted, place):
    two = ["--arm", "two", "--teachers", "2", "--settings", "reviews", "--seeds", "3"]
    assert run(tmp_path, *two, "--arms", TAUGHT) == 0
    assert counted == ["teachers", "students", "teachers", "students"]
    found = grid(place, tmp_path).results([3, 4])
    assert found[Cell("reviews", "two", 3)]["about"]["teachers"]
    taught, two = (found[Cell("reviews", arm, 3)]["cost"] for arm in (TAUGHT, "two"))
    tokens = sum(len(text.split()) + 2 for text in SPLIT.train_texts)
    assert two - taught == 2 * tokens * 6  # examples and copies
    assert Cell("reviews", TEACHER, 4) in found
    assert run(tmp_path, "--arm", "x", "--teachers", "2", "--like", "teacher-steps") == 2


def test_cells_differ_by_whatever_shapes_them(place, tmp_path, monkeypatch):
    cell = Cell("reviews", TAUGHT, 0)

    def keys(settings=SETTINGS, encoder="encoder", out=tmp_path):
        one = grid(place, out, settings)
        one = Grid(out, settings, one.files, {}, str(place / encoder))
        return tuple(json.dumps(one.identity(cell._replace(arm=arm))) for arm in (TEACHER, TAUGHT))

    first = keys()
    assert keys() == first
    other = {"reviews": Setting(CLASSES, reviews, (*RECIPE, "train.lr=1e-3"))}
    assert all(a != b for a, b in zip(keys(other), first, strict=True))
    with monkeypatch.context() as patch:
        patch.setattr(cells, "VERSION", 99)
        assert all(a != b for a, b in zip(keys(), first, strict=True))
    with monkeypatch.context() as patch:
        patch.setattr(cells, "TEACHING_VERSION", 99)
        teacher, taught = keys()
        assert teacher == first[0]
        assert taught != first[1]
    more = {"reviews": Setting(CLASSES, lambda folder: Split(*(p[:-1] for p in reviews(folder))), RECIPE)}
    assert all(a != b for a, b in zip(keys(more), first, strict=True))

    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    BertModel(CONFIG, seed=8).save_pretrained(place / "other", tokenizer=tokenizer)
    assert all(a != b for a, b in zip(keys(encoder="other"), first, strict=True))
    one = grid(place, tmp_path)
    seeds = [json.dumps(one.identity(cell._replace(seed=seed))) for seed in (0, 1)]
    assert seeds[0] != seeds[1]


def test_students_alone_do_as_many_steps_or_cost_as_much(place, whole):
    found = grid(place, whole).results([0])
    steps = {arm: found[Cell("reviews", arm, 0)]["steps"] for arm in ARMS}
    cost = {arm: found[Cell("reviews", arm, 0)]["cost"] for arm in ARMS}
    # 40 sentences and as many copies in batches of 8, twice: 20 steps of 3 layers; 6 layers read all once,
    # which costs 2 x 6 / (3 x 3) of an epoch of 5 steps over the sentences: 6.67 steps more.
    assert steps == dict.fromkeys(ARMS, 20) | {
        TEACHER: 10,
        "teacher-recipe": 10,
        "encoder-cost": 27,
        "teacher-cost": 27,
    }
    tokens = sum(len(text.split()) + 2 for text in SPLIT.train_texts)
    assert cost[TEACHER] == 2 * tokens * 6 * 3
    assert cost["teacher-steps"] == 4 * tokens * 3 * 3
    assert cost[TAUGHT] == 4 * tokens * 3 * 3 + 2 * tokens * 6
    assert abs(cost["teacher-cost"] - cost[TAUGHT]) < tokens / 5 * 9

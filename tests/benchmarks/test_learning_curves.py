"""A point is the end of a run of its own length, whatever was killed on the way."""

import shutil

import pytest
from masked_text_toy import PRETRAIN, sentences

from benchmarks import learning_curves
from benchmarks.general_text import GeneralText
from benchmarks.learning_curves import Curves, Point, main, plan, points, tables
from benchmarks.probe import Probe
from benchmarks.trials import markdown
from minidistil.files import only_writer
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.settings import load_recipe
from minidistil.train.trainer import Trainer

SMALL = [
    "data.max_length=24", "data.shortest=4", "data.held_out=0.1", "train.batch_size=4", "train.lr=2e-3",
    "data.measured=16",
]  # fmt: skip
OBJECTIVES = ["soft", "soft + masked words", "masked words, no teacher"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    here = tmp_path_factory.mktemp("text")
    (here / "a.txt").write_text(sentences())
    recipe = load_recipe(PretrainingRecipe, changes=[*PRETRAIN, "train.epochs=2"])
    Pretraining(None, [here / "a.txt"], recipe, here / "teacher", quiet=True).run()
    return GeneralText([here / "a.txt"], here / "teacher" / "model")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(learning_curves, "FIRST", 10)
    monkeypatch.setattr(learning_curves, "WARMUP", 3)


def curves(text, out, *changes):
    rows = [
        {"text": line, "label": str("warm" in line)} for line in text.texts[0].read_text().splitlines()[:40]
    ]
    return Curves(text, out, [*SMALL, *changes], {"warmth": Probe(rows[:30], rows[30:])})


def test_points():
    assert points(9) == []
    assert points(10) == [10]
    assert points(79) == [10, 20, 40]
    assert [Point("soft", 0, point).branch for point in points(80)] == [8, 16, 32, 64]
    early = [point.steps for point in plan(40, OBJECTIVES, [0, 1])]
    assert early == sorted(early)
    assert len(early) == 2 * 2 + 3 * 3 * 2


def rates(monkeypatch):
    """Learning rates of the steps that trainers take from now on, as parts of the highest."""
    found, update = [], Trainer._update

    def spy(self):
        norm, factor = update(self)
        found.append((self.state.step, round(factor, 3)))
        return norm, factor

    monkeypatch.setattr(Trainer, "_update", spy)
    return found


def test_the_rate_is_constant_and_then_falls(text, tmp_path, monkeypatch):
    found = rates(monkeypatch)
    made = curves(text, tmp_path)
    made.run(Point("soft", 0, 10))
    rising = [(0, 0.0), (1, 0.333), (2, 0.667)]
    assert found == [*rising, *((step, 1.0) for step in range(3, 8)), (8, 1.0), (9, 0.5)]
    found.clear()
    made.run(Point("soft", 0, 20))  # goes on from step 8
    assert found == [*((step, 1.0) for step in range(8, 16)), (16, 1.0), (17, 0.75), (18, 0.5), (19, 0.25)]
    made.run(Point("soft", 0, 20))  # is there
    assert len(found) == 12


def test_a_point_does_not_depend_on_those_before_it(text, tmp_path):
    one, other = curves(text, tmp_path / "one"), curves(text, tmp_path / "other")
    for steps in (10, 20):
        one.run(Point("soft", 1, steps))
    assert one.find(Point("soft", 1, 20)) == other.run(Point("soft", 1, 20))
    assert one.find(Point("soft", 1, 20)) != one.find(Point("soft", 1, 10))
    assert one.find(Point("soft", 0, 20)) is None


@pytest.mark.parametrize("kill", [5, 9, 10])  # with the constant rate, with the falling one, at the end
def test_a_killed_run_goes_on(text, tmp_path, monkeypatch, kill):
    point = Point("soft + masked words", 0, 10)
    whole = curves(text, tmp_path / "whole").run(point)
    update, taken = Trainer._update, []

    def dies(self):
        taken.append(self.state.step)
        if len(taken) == kill:
            raise KeyboardInterrupt
        return update(self)

    changed = curves(text, tmp_path / "killed")
    recipe = changed.recipe(point)
    assert recipe.train.save_every == 500
    monkeypatch.setattr(Trainer, "_update", dies)
    with pytest.raises(KeyboardInterrupt):
        changed.run(point)
    monkeypatch.setattr(Trainer, "_update", update)
    again = rates(monkeypatch)
    assert changed.find(point) is None
    assert curves(text, tmp_path / "killed").run(point) == whole
    assert again[0][0] == (0 if kill < 9 else 8)  # nothing before the checkpoint is done again
    assert not (tmp_path / "killed" / "falling").exists()


def test_results_that_were_removed_are_made_again(text, tmp_path):
    made = curves(text, tmp_path)
    first = made.run(Point("soft", 0, 10))
    made.run(Point("soft", 0, 20))
    made.trials.path(made.settings(Point("soft", 0, 10))).unlink()
    assert made.run(Point("soft", 0, 10)) == first


def test_another_point_was_under_way(text, tmp_path):
    made = curves(text, tmp_path)
    made.run(Point("soft", 0, 10))
    whole = made.run(Point("soft", 0, 20))
    other = curves(text, tmp_path / "other")
    job = other.text.distillation(other.recipe(Point("soft", 0, 10)), other.out)
    other._train(job, job.first_model(), Point("soft", 0, 10))
    assert (other.out / "falling").exists()
    assert other.run(Point("soft", 0, 20)) == whole


def test_settings_are_all_that_shapes_a_point(text, tmp_path):
    made, point = curves(text, tmp_path), Point("soft", 0, 10)
    paths = {made.trials.path(made.settings(point))}
    for other in (point._replace(objective="all three"), point._replace(seed=1), point._replace(steps=20)):
        paths.add(made.trials.path(made.settings(other)))
    for name in ("teacher", "student at first"):
        paths.add(made.trials.path(made.settings(Point(name, 0, 0))))
    paths.add(made.trials.path(curves(text, tmp_path, "train.lr=1e-3").settings(point)))
    shutil.copy(text.texts[0], tmp_path / "more.txt")
    with open(tmp_path / "more.txt", "a") as file:
        file.write("a film\n")
    more = curves(GeneralText([tmp_path / "more.txt"], text.teacher), tmp_path)
    paths.add(more.trials.path(more.settings(point)))
    assert len(paths) == 8


def test_tables(text, tmp_path):
    made = curves(text, tmp_path)
    titles = ["masked words of held-out text", "Right masked words", "Linear probe of warmth"]
    empty = tables(made, 20, OBJECTIVES, [0, 1])
    assert all(title in empty for title in titles)

    def keep(point, loss):
        result = {"masked_lm": loss, "accuracy": 0.3, "perplexity": 1.0, "warmth": 0.5}
        made.trials.keep(made.settings(point), result)

    keep(Point("teacher", 0, 0), 4.0)
    for seed, losses in enumerate([(5.0, 5.2), (5.1, 5.5)]):
        for objective, loss in zip(OBJECTIVES, losses, strict=False):
            keep(Point(objective, seed, 10), loss)
    keep(Point("soft", 0, 20), 4.5)
    keep(Point("soft + masked words", 0, 20), 4.25)
    shown = tables(made, 20, OBJECTIVES, [0, 1])
    soft = ["soft", "5.050 (5.000 to 5.100)", "4.500"]
    words = ["soft + masked words", "5.350 (5.200 to 5.500)", "4.250"]
    header = ["after steps", "10", "20"]
    none = ["masked words, no teacher", "–", "–"]
    assert markdown(header, [soft, words, none]) in shown
    beside = ["soft + masked words", "+0.300 ± 0.100", "-0.250, 1 of 2"]
    assert markdown(header, [beside, none]) in shown
    assert "nats; teacher 4.000, student at first –" in shown
    assert "| soft | 50.0 (50.0 to 50.0) | 50.0 |" in shown


def test_the_command(text, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(GeneralText, "make", lambda given, teacher, out: text)
    options = [f"--out={tmp_path}", "--seeds=0", "--objectives", "soft", "all three"]
    options += [f"--set={change}" for change in SMALL]
    assert main([*options, "--show"]) == 0
    assert capsys.readouterr().out == "nothing is there yet\n"
    options.append(f"--teacher={text.teacher}")
    assert main([*options, "--steps=10"]) == 0
    said = capsys.readouterr().out
    assert [line.partition(":")[0] for line in said.splitlines()[:4]] == [
        "0 steps, seed 0, teacher", "0 steps, seed 0, student at first", "10 steps, seed 0, soft",
        "10 steps, seed 0, all three",
    ]  # fmt: skip
    assert main([*options, "--steps=10", "--show"]) == 0
    shown = capsys.readouterr().out
    assert said.endswith(shown)
    assert shown.startswith("Loss on masked words of held-out text, nats; teacher ")
    assert main([*options, "--steps=20"]) == 0  # goes on
    longer = capsys.readouterr().out
    assert longer.startswith("20 steps, seed 0, soft: ")
    assert "| after steps | 10 | 20 |" in longer


def test_one_process_at_a_time(text, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(GeneralText, "make", lambda given, teacher, out: text)
    with only_writer(tmp_path):
        assert main([f"--out={tmp_path}"]) == 3
    assert "another process is writing" in capsys.readouterr().err

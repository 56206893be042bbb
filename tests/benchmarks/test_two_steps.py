"""Arms of one total cost, from one first model; killed and started again they end alike."""

import json
import shutil

import numpy as np
import pytest
from masked_text_toy import PRETRAIN, sentences
from tiny import make_split

from benchmarks import two_steps
from benchmarks.general_text import GeneralText
from benchmarks.retention.files import Files
from benchmarks.retention.finetuned import FineTuned
from benchmarks.retention.settings import Setting
from benchmarks.trials import markdown
from benchmarks.two_steps import HEADER, Arm, TwoSteps, main, plan, tables
from minidistil.errors import UsageError
from minidistil.jobs.pretrain import Pretraining, PretrainingRecipe
from minidistil.model import load_model
from minidistil.settings import load_recipe
from minidistil.train.trainer import Trainer

TOY = "sentences"
TASK = ["data.max_length=24", "train.batch_size=8"]
TEXT = [
    "data.max_length=24",
    "data.shortest=4",
    "data.held_out=0.1",
    "train.batch_size=4",
    "data.measured=16",
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    here = tmp_path_factory.mktemp("inputs")
    (here / "a.txt").write_text(sentences())
    recipe = load_recipe(PretrainingRecipe, changes=[*PRETRAIN, "train.epochs=1", "model.layers=4"])
    Pretraining(None, [here / "a.txt"], recipe, here / "teacher", quiet=True).run()
    split = make_split(48, 16)
    for name, texts, labels in (
        ("train", split.train_texts, split.train_labels),
        ("eval", split.test_texts, split.test_labels),
    ):
        rows = [{"text": text, "label": str(label)} for text, label in zip(texts, labels, strict=True)]
        (here / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = GeneralText([here / "a.txt"], here / "teacher" / "model")
    return text, {TOY: Files(here / "train.jsonl", here / "eval.jsonl")}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    setting = Setting(FineTuned("classification"), lambda folder: ([], []), ("train.epochs=2", *TASK))
    monkeypatch.setitem(two_steps.SETTINGS, TOY, setting)
    starts = {
        "layers": ["student.layers=alternate"],
        "narrow": ["student.layers=alternate", "student.width=12", "objective.terms.cosine=0"],
        "random": ["student.layers=random:2"],
    }
    monkeypatch.setattr(two_steps, "STARTS", starts)


def study(inputs, out, steps=60, **options):
    text, files = inputs
    return TwoSteps(text, out, files, steps, text_changes=TEXT, encoder=str(text.teacher), **options)


def test_arms():
    arms = list(plan([TOY, "intents"], ["random", "teacher"], [0, 1]))
    assert len(arms) == len(set(arms)) == 2 * 2 * (5 + 2)
    assert {arm.share for arm in arms if arm.start == "teacher"} == {"plain", "0 %"}
    assert [arm.seed for arm in arms] == [0] * 14 + [1] * 14


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    return tmp_path_factory.mktemp("whole")


def test_every_arm_but_the_plain_one_has_the_same_cost(inputs, whole):
    made = study(inputs, whole)
    for start in ("layers", "random", "narrow"):
        results = {arm.share: made.run(arm) for arm in plan([TOY], [start], [0])}
        plain = results.pop("plain")
        total = 60 * plain["cost of a text step"]
        assert [result["text steps"] for result in results.values()] == [0, 15, 30, 45]
        steps = [result["task steps"] for result in results.values()]
        assert steps == sorted(steps, reverse=True)
        assert len(set(steps)) == 4
        for result in results.values():
            assert 0.95 * total < result["cost"] <= total
        assert plain["text steps"] == 0
        assert plain["task steps"] == 2 * (48 + 48) // 8  # examples and copies
        assert plain["cost"] < total / 2
    for start in ("minilm", "teacher"):
        both = [made.run(arm) for arm in plan([TOY], [start], [0])]
        assert [result["text steps"] for result in both] == [0, 0]
        assert {result["teacher"] for result in both} == {plain["teacher"]}
    assert not list((whole / "students").iterdir())
    shown = tables(made, [TOY], ["layers", "random", "narrow", "minilm", "teacher"], [0, 1])
    assert shown.count("\n| ") == 1 + 1 + 3 * 5 + 2 * 2


def test_the_cost_of_a_narrow_students_step_is_less(inputs, whole):
    made = study(inputs, whole)
    wide, narrow = (made.run(Arm(TOY, start, "0 %", 0)) for start in ("layers", "narrow"))
    assert narrow["cost of a text step"] < wide["cost of a text step"]


def test_steps_over_text_are_taken_by_the_first_model(inputs, whole):
    made = study(inputs, whole)
    for start, layers in (("layers", 2), ("random", 2), ("narrow", 2)):
        first = load_model(made.student(start, 0, 0))
        recipe = made.text_recipe(start, 10, 0)
        begins = made.text.distillation(recipe, whole / "unused").first_model()
        assert first.config.num_hidden_layers == layers
        assert all(np.array_equal(first.params[name], begins.params[name]) for name in begins.params)
        later = load_model(made.student(start, 10, 0))
        assert later.config.hidden_size == first.config.hidden_size
        assert not np.array_equal(later.params.flat, first.params.flat)


@pytest.mark.parametrize("kill", [4, 12])  # over text, on the task
def test_a_killed_arm_goes_on(inputs, whole, tmp_path, monkeypatch, kill):
    arm = Arm(TOY, "layers", "25 %", 0)
    right = study(inputs, whole).run(arm)
    made, taken, update = study(inputs, tmp_path), [], Trainer._update
    made.teacher(TOY, 0)

    def dies(self):
        taken.append(self)
        if len(taken) == kill:
            raise KeyboardInterrupt
        return update(self)

    monkeypatch.setattr(Trainer, "_update", dies)
    with pytest.raises(KeyboardInterrupt):
        made.run(arm)
    monkeypatch.setattr(Trainer, "_update", update)
    assert made.find(arm) is None
    assert study(inputs, tmp_path).run(arm) == right


def test_settings_are_all_that_shapes_an_arm(inputs, tmp_path):
    made, arm = study(inputs, tmp_path), Arm(TOY, "layers", "25 %", 0)
    paths = {made.trials.path(made.settings(arm))}
    others = (
        arm._replace(start="random"), arm._replace(share="50 %"), arm._replace(share="plain"),
        arm._replace(share="0 %"), arm._replace(seed=1),
    )  # fmt: skip
    paths |= {made.trials.path(made.settings(other)) for other in others}
    for further in (
        study(inputs, tmp_path, steps=80),
        study(inputs, tmp_path, changes=["train.lr=1e-3"]),
    ):
        paths.add(further.trials.path(further.settings(arm)))
    shutil.copy(inputs[1][TOY].train, tmp_path / "more.jsonl")
    with open(tmp_path / "more.jsonl", "a") as file:
        file.write(json.dumps({"text": "a film", "label": "1"}) + "\n")
    files = {TOY: Files(tmp_path / "more.jsonl", inputs[1][TOY].evaluate)}
    more = study((inputs[0], files), tmp_path)
    paths.add(more.trials.path(more.settings(arm)))
    assert len(paths) == 1 + 5 + 2 + 1


def test_the_plain_arm_does_not_depend_on_the_total(inputs, tmp_path):
    arm = Arm(TOY, "random", "plain", 0)
    one, other = (study(inputs, tmp_path, steps=steps) for steps in (40, 80))
    assert one.settings(arm) == other.settings(arm)


def test_too_small_a_total_is_refused(inputs, tmp_path):
    with pytest.raises(UsageError, match="more --steps"):
        study(inputs, tmp_path, steps=1).run(Arm(TOY, "layers", "0 %", 0))


def test_terms_of_hidden_states_let_the_teacher_run_in_every_step(inputs, tmp_path):
    arm = Arm(TOY, "layers", "0 %", 0)
    kept, live = (
        study(inputs, tmp_path, changes=changes).run(arm) for changes in ([], ["teaching.terms.hidden=1"])
    )
    assert live["cost"] / live["task steps"] > 1.2 * kept["cost"] / kept["task steps"]
    with pytest.raises(UsageError, match="two stages"):
        study(inputs, tmp_path, changes=["teaching.first.terms.hidden=1"]).run(arm)


def test_tables(inputs, tmp_path):
    made = study(inputs, tmp_path)

    def keep(share, seed, student, steps):
        arm = Arm(TOY, "random", share, seed)
        result = {
            "metric": "accuracy", "student": student, "teacher": 0.8, "text steps": steps, "task steps": 90,
        }  # fmt: skip
        made.trials.keep(made.settings(arm), result)

    for seed, (alone, half) in enumerate([(0.60, 0.62), (0.64, 0.70)]):
        keep("0 %", seed, alone, 0)
        keep("50 %", seed, half, 20)
    keep("75 %", 0, 0.5, 30)
    rows = [
        ["random", "0 %", "0", "90", "62.0 (60.0 to 64.0)", "", "77.5 (75.0 to 80.0)"],
        ["random", "50 %", "20", "90", "66.0 (62.0 to 70.0)", "+4.0 ± 2.0", "82.5 (77.5 to 87.5)"],
        ["random", "75 %", "30", "90", "50.0", "-10.0", "62.5"],
    ]
    shown = tables(made, [TOY], ["random", "layers"], [0, 1, 2])
    assert (
        shown == f"{TOY}: accuracy of the teacher 80.0 (80.0 to 80.0) (seeds: 2)\n\n{markdown(HEADER, rows)}"
    )


def test_the_command_says_what_it_lacks(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(GeneralText, "make", lambda given, teacher, out: inputs[0])
    assert main([f"--out={tmp_path}", "--show"]) == 0
    assert capsys.readouterr().out == "nothing is there yet\n"
    assert main([f"--out={tmp_path}", "--tasks", "intents"]) == 2
    assert "give their folder, --data" in capsys.readouterr().err

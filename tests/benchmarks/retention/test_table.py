"""Arithmetic of the tables, of numbers worked by hand."""

import math

import pytest

from benchmarks.retention.arms import BEST, TAUGHT, TEACHER
from benchmarks.retention.cells import Cell
from benchmarks.retention.examples import Split
from benchmarks.retention.finetuned import FineTuned
from benchmarks.retention.settings import Setting
from benchmarks.retention.table import Tables

VALUES = {
    ("a", TEACHER): [0.9, 0.8, 0.85],
    ("a", TAUGHT): [0.9, 0.76, 0.85],
    ("a", "encoder-steps"): [0.87, 0.76, 0.82],
    ("a", BEST): [0.91, 0.77, 0.83],
    ("b", TEACHER): [0.5, 0.5, 0.5],
    ("b", TAUGHT): [0.4, 0.4, 0.4],
    ("b", "encoder-steps"): [0.45, 0.46, 0.47],
}


@pytest.fixture
def tables():
    def none(folder):
        return Split([], [])

    settings = {
        "a": Setting(FineTuned("classification"), none, best=("teaching.temperature=4",)),
        "b": Setting(FineTuned("regression"), none, metric="spearman", texts=None),
        "c": Setting(FineTuned("regression"), none, texts=None),
    }
    results = {
        Cell(setting, arm, seed): {
            "primary": "accuracy",
            "metrics": {"accuracy": value, "spearman": value, "layers": 3},
            "steps": 10,
            "cost": 200.0 if arm == TAUGHT else 100.0,
        }
        for (setting, arm), values in VALUES.items()
        for seed, value in enumerate(values)
    }
    return Tables(settings, results)


def test_what_is_retained_is_the_mean_of_each_seeds_share(tables):
    column = tables.columns["a"][TAUGHT]
    assert column.retained == pytest.approx({0: 100, 1: 95, 2: 100})
    assert column.kept == pytest.approx(295 / 3)


def test_differences_are_of_the_same_seed(tables):
    difference = tables.difference("a", TAUGHT, "encoder-steps")  # 3, 0, 3
    assert difference.mean == pytest.approx(2)
    assert difference.error == pytest.approx(math.sqrt(3) / math.sqrt(3))
    assert difference.pairs == 3
    assert tables.columns["a"][TAUGHT].above(tables.columns["a"]["encoder-steps"]) == "2 of 3"


def test_markdown(tables):
    overview, best, first, *sentences = tables.markdown().split("\n\n")
    assert overview.splitlines() == [
        "| setting | teacher | taught by default | retained, % "
        "| minus alone, encoder's layers, equal steps |",
        "| --- | --- | --- | --- | --- |",
        "| a (accuracy) | 85.0 (80.0 to 90.0) | 83.7 (76.0 to 90.0) | 98.3 (95.0 to 100.0) | +2.0 ± 1.0 |",
        "| b (spearman) | 50.0 (50.0 to 50.0) | 40.0 (40.0 to 40.0) | 80.0 (80.0 to 80.0) | -6.0 ± 0.6 |",
    ]
    assert first.splitlines() == [
        "| setting | arm | metric x 100 | retained, % | taught minus it | seeds above | steps | cost |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| a (accuracy) | teacher | 85.0 (80.0 to 90.0) | | | | 10 | 0.50 |",
        "| | alone, encoder's layers, equal steps | 81.7 (76.0 to 87.0) | 96.0 (95.0 to 96.7) | +2.0 ± 1.0 "
        "| 2 of 3 | 10 | 0.50 |",
        "| | taught by default | 83.7 (76.0 to 90.0) | 98.3 (95.0 to 100.0) | | | 10 | 1.00 |",
        "| | taught, best found | 83.7 (77.0 to 91.0) | 98.3 (96.2 to 101.1) | +0.0 ± 1.0 "
        "| 1 of 3 | 10 | 0.50 |",
        "| b (spearman) | teacher | 50.0 (50.0 to 50.0) | | | | 10 | 0.50 |",
        "| | alone, encoder's layers, equal steps | 46.0 (45.0 to 47.0) | 92.0 (90.0 to 94.0) | -6.0 ± 0.6 "
        "| 0 of 3 | 10 | 0.50 |",
        "| | taught by default | 40.0 (40.0 to 40.0) | 80.0 (80.0 to 80.0) | | | 10 | 1.00 |",
    ]
    assert best.splitlines()[2] == (
        "| a | `teaching.temperature=4`, texts without labels | 98.3 (95.0 to 100.0) | 98.3 (96.2 to 101.1) "
        "| +0.0 ± 1.0 | 2 of 3 |"
    )
    assert sentences == [
        "Taught by default against alone, encoder's layers, equal steps: above it by more than a standard "
        "error on 1 of 2 settings, below it by more than one on 1: b.",
        "Taught by default: keeps 97 % on 1 of 2 settings, not on b 80.0 %.",
        "Taught, best found: keeps 97 % on 1 of 1 settings.",
    ]


def test_a_seed_that_the_teacher_lacks_is_no_pair(tables):
    del tables.results[Cell("a", TEACHER, 1)]
    assert tables.columns["a"][TAUGHT].kept == pytest.approx(100)
    assert Tables(tables.settings, {}).markdown() == "There are no results yet."


def test_metrics_of_more_than_one_are_hundredths_already(tables):
    results = {cell: dict(result) for cell, result in tables.results.items()}
    for result in results.values():
        result["metrics"] = {name: 100 * value for name, value in result["metrics"].items()}
    for setting, arms in Tables(tables.settings, results).columns.items():
        for arm, column in arms.items():
            assert column.values == pytest.approx(tables.columns[setting][arm].values)
            assert column.retained == pytest.approx(tables.columns[setting][arm].retained)


def test_a_metric_that_is_not_defined_is_no_success(tables):
    tables.results[Cell("a", TAUGHT, 1)]["metrics"]["accuracy"] = None
    assert math.isnan(tables.difference("a", TAUGHT, "encoder-steps").mean)
    assert "on 0 of 2 settings" in tables.summary()[0]


def test_facts_on_teachers_are_means_over_the_seeds(tables):
    assert tables.facts_table() == ""
    for seed, accuracy in enumerate([0.9, 1.0, 0.95]):
        facts = {"teacher_on_examples": {"accuracy": accuracy}, "teacher_on_held_out": {}}
        tables.results[Cell("a", TAUGHT, seed)]["about"] = {"teaching": facts}
    assert tables.facts_table().splitlines()[2:] == ["| a | 0.950 | | | | | | |", "| b | | | | | | | |"]
    assert tables.facts_table() in tables.markdown()


def test_a_difference_within_its_error_is_neither_above_nor_below(tables):
    for seed, value in enumerate([0.88, 0.78, 0.84]):  # taught minus it: 2, -2, 1, a third of a point
        tables.results[Cell("a", "encoder-steps", seed)]["metrics"]["accuracy"] = value
    assert "on 0 of 2 settings, below it by more than one on 1: b." in tables.summary()[0]
    for seed, value in enumerate([0.92, 0.74, 0.86]):  # -2, 2, -1
        tables.results[Cell("a", "encoder-steps", seed)]["metrics"]["accuracy"] = value
    tables = Tables(tables.settings, tables.results)
    assert "on 0 of 2 settings, below it by more than one on 1: b." in tables.summary()[0]

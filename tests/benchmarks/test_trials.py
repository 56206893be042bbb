"""A result is found by its settings alone; differences are of pairs."""

import json
import math

import pytest

from benchmarks.trials import Difference, Trials, exit_code, key, markdown, paired, run_each, spread
from minidistil.errors import DataError


def test_a_result_is_kept_once(tmp_path):
    trials, runs = Trials(tmp_path / "results"), []
    settings = {"task": "intents", "seed": 0, "terms": {"soft": 0.5, "hard": 0.5}}

    def run():
        runs.append(1)
        return {"accuracy": 0.5 + len(runs)}

    assert trials.find(settings) is None
    assert trials.once(settings, run) == trials.once(settings, run) == {"accuracy": 1.5}
    assert Trials(tmp_path / "results").find(settings) == {"accuracy": 1.5}
    assert trials.once({**settings, "seed": 1}, run) == {"accuracy": 2.5}
    kept = json.loads(trials.path(settings).read_text())
    assert kept == {"settings": settings, "result": {"accuracy": 1.5}}


def test_a_run_that_fails_keeps_nothing(tmp_path):
    trials = Trials(tmp_path)
    with pytest.raises(ZeroDivisionError):
        trials.once({"seed": 0}, lambda: {"accuracy": 1 / 0})
    assert trials.find({"seed": 0}) is None
    assert not list(tmp_path.iterdir())


def test_the_order_of_settings_does_not_matter_and_any_other_value_does():
    one = {"a": 1, "b": {"c": 2, "d": [1, 2]}}
    assert key(one) == key({"b": {"d": [1, 2], "c": 2}, "a": 1})
    others = [{**one, "a": 2}, {**one, "b": {"c": 2, "d": [2, 1]}}, {**one, "e": None}]
    assert len({key(one), *map(key, others)}) == 4


def test_differences_of_the_seeds_that_both_have():
    found = paired({0: 3.0, 1: 5.0, 2: 7.0, 9: 100.0}, {0: 2.0, 1: 3.0, 2: 4.0, 8: -100.0})
    assert found.mean == 2.0  # 1, 2, 3
    assert found.error == pytest.approx(1 / math.sqrt(3))  # a standard deviation of 1, three pairs
    assert found.pairs == 3


def test_fewer_than_two_pairs_have_no_error():
    one, none = paired({0: 3.0}, {0: 2.5}), paired({0: 3.0}, {1: 2.5})
    assert (one.mean, one.pairs) == (0.5, 1)
    assert math.isnan(one.error)
    assert math.isnan(none.mean)
    assert [d.cell() for d in (one, none, Difference(-0.44, 0.21, 5))] == ["+0.5", "–", "-0.4 ± 0.2"]
    assert Difference(0.0123, 0.001, 3).cell("+.3f") == "+0.012 ± 0.001"


def test_cells():
    assert spread([]) == "–"
    assert spread([2.0]) == "2.0"
    assert spread([1.0, 3.0]) == "2.0 (1.0 to 3.0)"
    table = markdown(["", "a", "b"], [["one", "1", "2"], ["two", "", ""]])
    assert table == "| | a | b |\n| --- | --- | --- |\n| one | 1 | 2 |\n| two | | |"


def test_errors_and_stops_are_said_in_a_line(capsys):
    def fails(error):
        def command():
            raise error

        return command

    assert exit_code(lambda: 7) == 0
    assert exit_code(fails(DataError("no text"))) == 3
    assert exit_code(fails(KeyboardInterrupt("stopped after step 3"))) == 130
    assert exit_code(fails(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == (
        "error: no text\nstopped after step 3; the same command goes on\nstopped; the same command goes on\n"
    )
    with pytest.raises(ZeroDivisionError):
        exit_code(lambda: 1 / 0)


def test_after_an_error_the_others_go_on(capsys):
    def run(number):
        if number == 2:
            raise DataError("no text")
        return f"{number} is done"

    assert exit_code(lambda: run_each([1, 2, 3], run)) == 1
    said = capsys.readouterr()
    assert said.out == "1 is done\n3 is done\n"
    assert said.err == "2: FAILED: no text\nerror: 1 failed; the same command tries them again\n"
    assert exit_code(lambda: run_each([1, 3], run)) == 0

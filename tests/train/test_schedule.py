"""The schedules against values worked out by hand."""

import pytest

from minidistil.errors import ConfigError
from minidistil.train.schedule import schedule
from minidistil.train.settings import TrainSettings


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25, 0]),
        ("constant", [0, 0.5, 1, 1, 1, 1, 1]),
        ("cosine", [0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627, 0]),
    ],
)
def test_two_steps_of_warmup_then_four(name, expected):
    assert [schedule(name, step, 6, 2) for step in range(7)] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("name", ["linear", "constant", "cosine"])
def test_without_warmup_the_first_update_is_whole(name):
    assert schedule(name, 0, 4, 0) == 1


@pytest.mark.parametrize("name", ["linear", "constant", "cosine"])
def test_warmup_longer_than_the_run(name):
    assert [schedule(name, step, 2, 4) for step in range(3)] == [0, 0.25, 0.5]


def test_unknown_schedule():
    with pytest.raises(ConfigError, match=r"'step'.*linear, constant, cosine"):
        schedule("step", 0, 1, 0)


def test_warmup_as_share_and_as_number():
    assert TrainSettings(warmup=0.1).warmup_steps(101) == 11  # rounded up, as in transformers
    assert TrainSettings(warmup=7).warmup_steps(101) == 7
    assert TrainSettings(warmup=1.0).warmup_steps(101) == 101


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("max_steps", -1), ("batch_size", 0), ("accumulation", 0), ("keep", 0),
        ("log_every", 0), ("eval_every", 0), ("save_every", "never"), ("seed", -1), ("lr", -1e-5),
        ("lr", float("nan")), ("betas", (0.9, 1.0)), ("eps", 0.0), ("weight_decay", -0.1), ("clip", 0.0),
        ("warmup", 1.5), ("warmup", -1), ("schedule", "step"), ("best_is", "most"), ("patience", 2),
    ],
)  # fmt: skip
def test_bad_settings_are_named(name, value):
    with pytest.raises(ConfigError, match=name):
        TrainSettings(**{name: value})

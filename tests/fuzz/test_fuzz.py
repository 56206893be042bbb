"""A few trials of every target; `python -m tests.fuzz --minutes N` does as many as there is time for."""

import pytest
from fuzz.runner import trial
from fuzz.targets import TARGETS, prepare

TRIALS = {"predicted": 12, "command": 12}
USUAL = 30


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("fuzz") / "place"
    prepare(place)
    return place


@pytest.mark.parametrize("target", TARGETS)
def test_damage_gets_an_answer_or_one_clear_error(target, place):
    outcomes = [trial(target, 0, number, place) for number in range(TRIALS.get(target, USUAL))]
    failed = [r for r in outcomes if r.outcome not in ("answered", "refused")]
    assert not failed, f"{len(failed)}, first {failed[0].number}: {failed[0].detail}"
    assert any(r.outcome == "refused" for r in outcomes), "nothing was damaged enough to be refused"

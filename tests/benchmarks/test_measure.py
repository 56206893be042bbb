"""Results of a measurement as JSON: enough to find the verdict on every round again."""

import json

from benchmarks import analysis, driver
from benchmarks.machine import CpuTimes
from benchmarks.measure import timed


class Given:
    """One core for as long as a turn of one second lasts; in the second turn it is slow."""

    def __init__(self):
        self.turns = 0

    def time(self, seconds):
        self.turns += 1
        return [1.0, 2.0 if self.turns == 2 else 1.0]

    def cpu_seconds(self):
        return float(self.turns)


def test_times_loads_and_verdicts_of_all_rounds(monkeypatch):
    """Readings before and after each turn: in the third, others had the second core, which is idle else."""
    idle = [0.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0]
    readings = iter([CpuTimes((i + 1) // 2, 2, value, 0.0, 0.0) for i, value in enumerate(idle)])
    monkeypatch.setattr(driver, "cpu_times", lambda: next(readings))
    monkeypatch.setattr("benchmarks.driver.time.process_time", lambda: 0.0)
    monkeypatch.setattr("benchmarks.driver.time.sleep", lambda seconds: None)
    said = []
    engines = json.loads(json.dumps(timed({"minidistil": Given()}, 2, said.append)))
    found = engines["minidistil"]
    assert found["rounds"] == [[1.0, 1.0], [1.0, 2.0], [1.0, 1.0], [1.0, 1.0]]
    assert [load["idle"] for load in found["loads"]] == [1.0, 1.0, 0.0, 1.0]
    assert [load["own"] for load in found["loads"]] == [1.0] * 4
    assert found["disturbed"] == ["", "slow", "others", ""]
    assert analysis.disturbed({"engines": engines}, "minidistil") == found["disturbed"]
    assert said == [
        "round 1",
        "round 2",
        "round 3, 1 of 2 undisturbed so far",
        "round 4, 1 of 2 undisturbed so far",
    ]

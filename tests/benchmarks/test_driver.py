"""The driver and its workers: turns, answers, deaths."""

import subprocess
import time
from itertools import count

import pytest

from benchmarks import driver
from benchmarks.driver import ROOT, Engine, EngineError, Worker, interleave, rotated
from benchmarks.machine import CpuTimes
from benchmarks.startup import Command
from benchmarks.worker import timed

OURS = Engine.parse("minidistil")
ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "die":
        sys.exit("no compiler here")
    print(json.dumps({"seconds": [request["seconds"], 2.0]}), flush=True)
"""


class Fake:
    """Turns whose times are given; it uses both cores for as long as they last."""

    def __init__(self, name, order, times=()):
        self.name, self.order, self.times, self.used = name, order, iter(times), 0.0

    def time(self, seconds):
        self.order.append(self.name)
        runs = [next(self.times, seconds)]
        self.used += 2 * sum(runs)
        return runs

    def cpu_seconds(self):
        return self.used


def read_every(monkeypatch, seconds, own=0.0):
    """Readings of two cores, so many seconds apart, that are never idle; this process takes `own` of each."""
    times, used = count(0.0, seconds), count(0.0, own)
    monkeypatch.setattr(driver, "cpu_times", lambda: CpuTimes(next(times), 2, 0.0, 0.0, 0.0))
    monkeypatch.setattr("benchmarks.driver.time.process_time", lambda: next(used))


@pytest.fixture
def quiet(monkeypatch):
    read_every(monkeypatch, 0.5)


def test_everyone_has_a_turn_in_every_round_and_another_one_begins(quiet):
    order = []
    said = []
    fakes = {name: Fake(name, order) for name in "abc"}
    turns = interleave(fakes, 4, turn=0.5, pause=0, said=lambda *numbers: said.append(numbers))
    assert order == list("abcbcacababc")
    assert [turn.runs for turn in turns["b"]] == [[0.5]] * 4
    assert [(turn.load.elapsed, turn.load.own) for turn in turns["b"]] == [(0.5, 1.0)] * 4
    assert said == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_a_round_that_is_slow_for_one_engine_is_repeated(quiet):
    fakes = {"a": Fake("a", []), "b": Fake("b", [], [0.5, 0.7, 0.5])}
    said = []
    turns = interleave(fakes, 3, turn=0.5, pause=0, said=lambda *numbers: said.append(numbers))
    assert [turn.runs for turn in turns["b"]] == [[0.5], [0.7], [0.5], [0.5]]
    assert len(turns["a"]) == 4
    assert said == [(0, 0), (1, 1), (2, 1), (3, 2)]


def test_a_fast_round_at_last_tells_that_those_before_were_slow(quiet):
    turns = interleave({"a": Fake("a", [], [0.7, 0.7, 0.5])}, 3, turn=0.5, pause=0)
    assert [turn.runs for turn in turns["a"]] == [[0.7], [0.7], [0.5], [0.5], [0.5]]


def test_a_machine_that_is_always_busy_comes_to_an_end(monkeypatch):
    """Each turn lasts for a second of two cores, of which the engine had half."""
    read_every(monkeypatch, 1.0)
    turns = interleave({name: Fake(name, []) for name in "ab"}, 3, turn=0.5, pause=0)
    assert [len(each) for each in turns.values()] == [6, 6]
    assert driver.disturbances_of(turns["a"]) == ["others"] * 6


def test_time_of_the_driver_itself_is_not_that_of_others(monkeypatch):
    """A second of two cores: the engine had 1.0, starting it 1.0."""
    read_every(monkeypatch, 1.0, own=1.0)
    turn = driver.take_turn(Fake("a", []), 0.5)
    assert (turn.load.own, turn.load.taken) == (2.0, 0.0)


def test_without_proc_a_turn_has_no_load(monkeypatch):
    monkeypatch.setattr(driver, "cpu_times", lambda: None)
    turns = interleave({"a": Fake("a", [], [1.0, 2.0])}, 2, turn=1.0, pause=0)
    assert [turn.load for turn in turns["a"]] == [None] * 3
    assert driver.disturbances_of(turns["a"]) == ["", "slow", ""]


def checkout(path):
    """A directory with other code under the names of ours."""
    for package in ("minidistil", "benchmarks"):
        (path / package).mkdir(parents=True)
        (path / package / "__init__.py").touch()
    (path / "minidistil" / "__init__.py").write_text("print('another minidistil')\n")
    (path / "benchmarks" / "worker.py").write_text(ECHO)
    return path


def test_an_engine_of_another_checkout_runs_the_code_there(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)  # nothing is imported from the working directory
    old = Engine.parse(f"old={checkout(tmp_path / 'old')}")
    assert (old.name, old.kind, old.root) == ("old", "minidistil", tmp_path / "old")
    with Worker(
        old, ["-m", "benchmarks.worker", old.kind, "forward/minilm/1x16", "1"], tmp_path / "log"
    ) as w:
        assert w.time(0.25) == [0.25, 2.0]
    command = Command(old, "start/import", tmp_path / "log")
    command.run()
    assert command.output == "another minidistil\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tensorflow", "'tensorflow' is neither one of minidistil, torch, torch.compile, onnxruntime nor"),
        ("torch=.", "'torch=.' is neither one of"),
        ("old=nowhere", "nowhere is no checkout of minidistil: benchmarks/worker.py is missing"),
    ],
)
def test_engines_that_do_not_exist(text, message):
    with pytest.raises(ValueError, match=message):
        Engine.parse(text)


def test_rotation():
    assert rotated("abc", 4) == list("bca")
    assert rotated([], 3) == []


def test_a_worker_answers(tmp_path):
    with Worker(OURS, ["-c", ECHO], tmp_path / "log") as worker:
        assert worker.time(0.5) == [0.5, 2.0]
        assert worker.ask(do="time", seconds=1) == {"seconds": [1, 2.0]}


def test_a_dead_worker_says_why(tmp_path):
    log = tmp_path / "logs" / "echo.log"
    with Worker(OURS, ["-c", ECHO], log) as worker:
        with pytest.raises(EngineError, match=r"ended with code 1: no compiler here \(.*echo.log has more\)"):
            worker.ask(do="die")
        with pytest.raises(EngineError, match="ended with code 1"):
            worker.ask(do="time", seconds=1)


def test_leaving_kills_a_worker_that_is_busy(tmp_path):
    with Worker(OURS, ["-c", "import time; time.sleep(60)"], tmp_path / "log") as worker:
        process = worker._process
        assert process.poll() is None
    assert process.returncode == -9


def test_the_real_worker_ends_when_its_driver_is_gone(tmp_path):
    process = OURS.start(
        ["-m", "benchmarks.worker", "minidistil", "forward/minilm/1x16", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    )
    process.stdin.write('{"do": "memory"}\n')
    process.stdin.flush()
    assert '"imported"' in process.stdout.readline()
    process.communicate(timeout=60)  # closes its input
    assert process.returncode == 0


class Sleeper:
    def __init__(self, seconds):
        self.seconds, self.runs = seconds, 0

    def run(self):
        self.runs += 1
        time.sleep(self.seconds)


def test_short_runs_are_repeated_after_one_that_does_not_count():
    job = Sleeper(0.01)
    times = timed(job, 0.05)
    assert job.runs == len(times) + 1
    assert len(times) > 1
    assert sum(times) >= 0.05


def test_a_long_run_counts_at_once():
    job = Sleeper(0.02)
    assert len(timed(job, 0.01)) == job.runs == 1


def test_short_processes_are_started_again(tmp_path, monkeypatch):
    command = Command(OURS, "start/import", tmp_path / "log")
    monkeypatch.setattr(command, "run", lambda: 0.125)
    assert command.time(0.3) == [0.125] * 3
    assert command.time(0.1) == [0.125]


def test_a_fresh_process_is_timed_and_weighed(tmp_path):
    command = Command(OURS, "start/import", tmp_path / "log")
    times = command.time(0.001)
    assert len(times) == 1
    assert 0 < times[0] < 60
    assert 0 < command.cpu_seconds() < 60
    assert 5 < command.peaks[0] < 1000
    assert command.check() == {}
    command.output = "LABEL_1\t0.5678\ta text\n"
    assert command.check() == {"score of LABEL_1": [0.5678]}
    command.arguments = ["-c", "import sys; sys.stderr.write('no model'); sys.exit(3)"]
    with pytest.raises(EngineError, match=r"ended with code 3: no model \(.*log has more"):
        command.run()

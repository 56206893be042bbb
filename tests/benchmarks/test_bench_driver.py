"""The driver and its workers: turns, answers, deaths."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.driver import EngineError, Worker, interleave, rotated, worker_command
from benchmarks.startup import Command
from benchmarks.worker import timed

ROOT = Path(__file__).parents[2]
ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "die":
        sys.exit("no compiler here")
    print(json.dumps({"seconds": [request["seconds"], 2.0]}), flush=True)
"""


class Fake:
    def __init__(self, name, order):
        self.name, self.order = name, order

    def time(self, seconds):
        self.order.append(self.name)
        return [seconds, float(len(self.order))]


def test_everyone_has_a_turn_in_every_round_and_another_one_begins():
    order = []
    said = []
    fakes = {name: Fake(name, order) for name in "abc"}
    times = interleave(fakes, 4, turn=0.5, pause=0, said=said.append)
    assert order == list("abcbcacababc")
    assert times["b"] == [[0.5, 2.0], [0.5, 4.0], [0.5, 9.0], [0.5, 11.0]]
    assert said == [0, 1, 2, 3]


def test_rotation():
    assert rotated("abc", 4) == list("bca")
    assert rotated([], 3) == []


def test_a_worker_answers(tmp_path):
    with Worker([sys.executable, "-c", ECHO], tmp_path / "log") as worker:
        assert worker.time(0.5) == [0.5, 2.0]
        assert worker.ask(do="time", seconds=1) == {"seconds": [1, 2.0]}


def test_a_dead_worker_says_why(tmp_path):
    log = tmp_path / "logs" / "echo.log"
    with Worker([sys.executable, "-c", ECHO], log) as worker:
        with pytest.raises(EngineError, match=r"ended with code 1: no compiler here \(.*echo.log has more\)"):
            worker.ask(do="die")
        with pytest.raises(EngineError, match="ended with code 1"):
            worker.ask(do="time", seconds=1)


def test_leaving_kills_a_worker_that_is_busy(tmp_path):
    with Worker([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log") as worker:
        process = worker._process
        assert process.poll() is None
    assert process.returncode == -9


def test_the_real_worker_ends_when_its_driver_is_gone():
    process = subprocess.Popen(
        worker_command("minidistil", "forward/minilm/1x16", 1),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,  # where benchmarks are run: they are not part of what is installed
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


def test_a_fresh_process_is_timed_and_weighed():
    command = Command("minidistil", "start/import")
    [seconds] = command.time(0.3)
    assert 0 < seconds < 60
    assert 5 < command.peaks[0] < 1000
    assert command.check() == {}
    command.output = "LABEL_1\t0.5678\ta text\n"
    assert command.check() == {"score of LABEL_1": [0.5678]}
    command.arguments = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(EngineError, match="ended with code 3"):
        command.run()

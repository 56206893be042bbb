"""Progress: a bar on a terminal, lines elsewhere, nothing when quiet; never on standard output."""

import io
import sys
import threading

import pytest

from minidistil import progress as module
from minidistil.progress import Progress


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    with Progress(100, "training", "step") as progress:
        for _ in range(30):
            clock.now += 0.5
            progress.update(1, loss=0.25)
        assert capsys.readouterr().err == "training: 20/100 step, 2 step/s, 0:40 left, loss 0.25\n"
        clock.now += 0.5
        progress.update(70, loss=0.125)
    output = capsys.readouterr()
    assert output.err == "training: 100/100 step, 6.45 step/s, loss 0.125\n"
    assert output.out == ""


def test_no_second_last_line(clock, capsys):
    with Progress(2, "reading", "line") as progress:
        clock.now += 11
        progress.update(2)
    assert capsys.readouterr().err == "reading: 2/2 line, 0.182 line/s\n"


def test_what_was_done_before_does_not_count_for_the_rate(clock, capsys):
    with Progress(100, "training", "step", done=80) as progress:
        clock.now += 10
        progress.update(10)
    assert "90/100 step, 1 step/s, 0:10 left" in capsys.readouterr().err


def test_nothing_done_nothing_said(capsys):
    with Progress(100, "training", done=100):
        pass
    assert capsys.readouterr().err == ""


def test_unknown_total_and_long_times(clock, capsys):
    with Progress(None, "reading", "line") as progress:
        clock.now += 10
        progress.update(5)
    assert capsys.readouterr().err == "reading: 5 line, 0.5 line/s\n"
    with Progress(10_000, "training", "step") as progress:
        clock.now += 10
        progress.update(10)
    assert "2:46:30 left" in capsys.readouterr().err


def test_quiet(clock, capsys):
    with Progress(10, "training", quiet=True) as progress:
        clock.now += 60
        progress.update(10)
        progress.note("evaluated")
    assert capsys.readouterr().err == ""


def test_notes(capsys):
    with Progress(10, "training") as progress:
        progress.note("accuracy 0.9")
    assert capsys.readouterr().err == "accuracy 0.9\n"


def test_a_bar_on_a_terminal_without_a_monitor_thread(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    before = threading.active_count()
    with Progress(10, "training", "step", done=2) as progress:
        progress.update(3, loss=0.5)
        progress.note("accuracy 0.9")
        assert threading.active_count() == before
        progress.update(5)
    text = stream.getvalue()
    assert "training" in text
    assert "10/10" in text
    assert "loss 0.5" in text
    assert "accuracy 0.9\n" in text


def test_an_error_passes_through(capsys):
    with pytest.raises(ValueError, match="inside"), Progress(10, "training"):
        raise ValueError("inside")

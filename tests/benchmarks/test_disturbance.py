"""Disturbed turns, on made-up times and made-up readings of /proc, worked out by hand."""

import pytest

from benchmarks.disturbance import SLOW, Load, disturbances, undisturbed
from benchmarks.machine import CpuTimes, cpu_times, process_seconds, read_cpu_times, read_process_seconds

STAT = """cpu  900 0 90 5000 50 9 9 90 0 0
cpu0 100 1 20 1000 10 3 4 50 7 7
cpu1 200 2 30 2000 20 0 1 10 7 7
cpu10 9000 0 0 0 0 0 0 0 0 0
intr 12345
"""
IDLE = Load(elapsed=0.5, cores=2, own=0.9, idle=0.1, busy=0.9, steal=0.0)


def test_readings_by_hand():
    """Of cores 0 and 1, in ticks of 10 ms.

    idle = 1000 + 10 + 2000 + 20 = 3030, busy = (100 + 1 + 20 + 3 + 4) + (200 + 2 + 30 + 0 + 1) = 361,
    steal = 60. What guests ran (the 7s) is part of user and counts once.
    """
    assert read_cpu_times(STAT, {0, 1}, 100, 5.0) == pytest.approx((5.0, 2, 30.30, 3.61, 0.60))
    assert read_cpu_times(STAT, {1}, 100, 5.0) == pytest.approx((5.0, 1, 20.20, 2.33, 0.10))


def test_time_of_a_process_by_hand():
    """Its own 250 + 30 ticks and 4 + 1 of children that ended; the name may contain anything."""
    text = "42 (a) R 1 (b) S 1 42 42 0 -1 4194560 100 0 0 0 250 30 4 1 20 0 3 0 12345 1 1"
    assert read_process_seconds(text, 100) == 2.85


def test_without_proc_nothing_is_known(tmp_path):
    assert cpu_times(tmp_path / "stat") is None
    assert process_seconds(0) != process_seconds(0)  # NaN: there is no such process


def test_load_by_hand():
    """Half a second of two is 1.0. Idle 0.2 and own 0.7 leave 0.1; 2 (0.03 0.5 + 0.01) = 0.05 may be."""
    before, after = CpuTimes(10.0, 2, 100.0, 50.0, 1.0), CpuTimes(10.5, 2, 100.2, 50.8, 1.0)
    load = Load.between(before, after, own=0.7)
    assert (load.elapsed, load.cores, load.own) == (0.5, 2, 0.7)
    assert (load.idle, load.busy, load.steal) == pytest.approx((0.2, 0.8, 0.0))
    assert load.taken == pytest.approx(0.1)
    assert load.allowed == pytest.approx(0.05)


def test_an_undisturbed_series_is_left_alone():
    assert disturbances([[1.0], [1.04], [1.09], [0.99]], [IDLE] * 4) == [""] * 4
    assert disturbances([], []) == []


def test_one_slow_round():
    """Best 1.0: at 1.2 the rate is 0.83 of the best. The median of a turn's runs counts."""
    found = disturbances([[1.0], [1.2], [1.01, 9.0, 1.0]], [IDLE] * 3)
    assert found == ["", "slow", ""]
    assert 1 / 1.2 < SLOW < 1 / 1.1


def test_others_had_some_of_the_cores():
    """0.04 of 1.0 is less than 0.05, 0.06 is more; stolen time tells even where `own` contains it."""
    little = Load(0.5, 2, own=0.90, idle=0.06, busy=0.94, steal=0.0)
    much = Load(0.5, 2, own=0.88, idle=0.06, busy=0.94, steal=0.0)
    stolen = Load(0.5, 2, own=0.94, idle=0.06, busy=0.88, steal=0.06)
    assert disturbances([[1.0]] * 3, [little, much, stolen]) == ["", "others", "others"]
    assert disturbances([[1.0], [2.0]], [IDLE, much]) == ["", "slow, others"]


def test_where_loads_are_not_known_the_rate_alone_tells():
    assert disturbances([[1.0], [2.0], [1.0]], [None, None, None]) == ["", "slow", ""]


def test_a_round_counts_if_no_engine_is_disturbed():
    assert undisturbed(["", "slow", ""], ["others", "", ""]) == [False, False, True]

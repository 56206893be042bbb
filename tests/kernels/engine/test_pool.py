"""The one pool of threads: shared work, errors, forks, changes of their number."""

import os
import threading
import time

import numpy as np
import pytest

from minidistil import threads
from minidistil.kernels.engine import pool as pool_module
from minidistil.kernels.engine.compile import strict
from minidistil.kernels.engine.parallel import run
from minidistil.kernels.engine.pool import Pool, awake_pool, get_pool, parallel_for

COMPILED = os.environ.get("NUMBA_DISABLE_JIT") != "1"


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    before = threads.get_num_threads()
    yield
    monkeypatch.undo()
    threads.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 100])
def test_every_task_runs_once(count, n):
    threads.set_num_threads(count)
    done = np.zeros(n, int)

    def task(i):
        done[i] += 1

    parallel_for(task, n)
    assert (done == 1).all()


@strict
def _count(covered, start, stop):
    for i in range(start, stop):
        covered[i] += 1


@strict
def count(pool, covered, grain):
    run(pool, _count, (covered,), len(covered), grain)


@pytest.mark.parametrize("rows", [0, 1, 2, 63, 64, 65, 1000])
@pytest.mark.parametrize("threads_", [1, 2, 3, 8])
def test_ranges_cover_every_row_once(threads_, rows):
    threads.set_num_threads(threads_)
    covered = np.zeros(rows, np.int64)
    for _ in range(200):
        count(awake_pool(), covered, 1)
        count(awake_pool(), covered, 64)
    assert (covered == 400).all()


@strict
def _meet(arrived, met, start, stop):
    """Wait for the other row, but not for ever. (The store in the loop keeps the load in it.)"""
    for i in range(start, stop):
        for n in range(3_000_000):
            arrived[i] = n + 1
            if arrived[1 - i] > 0:
                met[i] = 1
                break


@strict
def meet(pool, arrived, met):
    run(pool, _meet, (arrived, met), len(arrived), 1)


@pytest.mark.skipif(not COMPILED, reason="plain Python has no native jobs")
def test_kernels_are_shared():
    """Two rows meet only if two threads have them. (A worker may be just falling asleep: not every time.)"""
    threads.set_num_threads(2)
    for _ in range(200):
        met = np.zeros(2, np.int64)
        meet(awake_pool(), np.zeros(2, np.int64), met)
        if met[0]:  # alone, the first row waits in vain, and the second finds it there
            return
    pytest.fail("no job was ever shared")


@strict
def _fail(bad, start, stop):
    for i in range(start, stop):
        if i == bad:
            raise ValueError("bad row")


@strict
def fail(pool, bad):
    run(pool, _fail, (bad,), 100, 1)


@pytest.mark.skipif(not COMPILED, reason="plain Python has no native jobs")
@pytest.mark.parametrize("threads_", [1, 2, 5])
def test_a_failing_kernel_is_an_error(threads_):
    threads.set_num_threads(threads_)
    for bad in (0, 50, 99):
        with pytest.raises(RuntimeError, match="a kernel failed"):
            fail(awake_pool(), bad)
    fail(awake_pool(), 100)  # and the pool lives on


def test_nothing_spins_when_idle():
    threads.set_num_threads(4)
    count(awake_pool(), np.zeros(1000, np.int64), 1)
    parallel_for(lambda i: None, 10)
    time.sleep(0.1)  # the workers go to sleep
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.1


def test_work_is_shared():
    """Two tasks that wait for each other can only finish on two threads."""
    threads.set_num_threads(2)
    barrier = threading.Barrier(2, timeout=10)
    parallel_for(lambda i: barrier.wait(), 2)


def in_time(work, seconds=30):
    """True if `work` comes to its end, on a thread of its own."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def test_a_pool_that_was_stopped_still_does_its_work():
    """As when another thread sets the number of threads between taking the pool and using it."""
    threads.set_num_threads(3)
    parallel_for(lambda i: None, 3)
    pool, done = get_pool(), []
    pool.stop()
    assert in_time(lambda: pool.share(lambda: done.append(1), 2))
    assert done


def test_the_number_of_threads_changes_while_others_compute():
    done = np.zeros(2000, int)

    def work():
        for k in range(0, len(done), 4):
            parallel_for(lambda i, k=k: np.add.at(done, k + i, 1), 4)

    def change():
        while not done[-1]:
            for count in (2, 3, 1, 4):
                threads.set_num_threads(count)

    changing = threading.Thread(target=change, daemon=True)
    changing.start()
    assert in_time(work)
    assert (done == 1).all()
    changing.join(30)
    assert not changing.is_alive()


@pytest.mark.parametrize("guilty", [0, 1, 5])
def test_an_error_in_a_task_reaches_the_caller(guilty):
    threads.set_num_threads(2)

    def task(i):
        if i == guilty:
            raise ValueError(f"task {i}")

    with pytest.raises(ValueError, match=f"task {guilty}"):
        parallel_for(task, 6)
    parallel_for(lambda i: None, 6)  # and the pool lives on


def test_several_python_threads_compute_at_once():
    from minidistil import kernels

    threads.set_num_threads(2)
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((400, 96)), rng.standard_normal((128, 96))
    want = x @ w.T
    wrong = []

    def work():
        for _ in range(20):
            out, _ = kernels.linear_forward(x, w)
            if not np.allclose(out, want):
                wrong.append(out)

    callers = [threading.Thread(target=work) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_computes_too():
    from minidistil import kernels

    threads.set_num_threads(2)
    x = np.random.default_rng(0).standard_normal((400, 96))
    want, _ = kernels.softmax_forward(x)
    child = os.fork()
    if child == 0:
        out, _ = kernels.softmax_forward(x)
        os._exit(0 if np.array_equal(out, want) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_where_no_more_threads_start_those_that_did_do_the_work(monkeypatch):
    start, begun = threading.Thread.start, []

    def limited(thread):
        if len(begun) == 1:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    threads.set_num_threads(4)
    pool = Pool(4)
    assert pool.workers == 1
    done = []
    monkeypatch.setattr(pool_module, "_pool", pool)
    parallel_for(done.append, 9)
    pool.stop()
    assert sorted(done) == list(range(9))


def test_another_number_of_threads_is_another_pool():
    threads.set_num_threads(3)
    three = get_pool()
    assert get_pool() is three
    threads.set_num_threads(2)
    two = get_pool()
    assert (three.count, two.count) == (3, 2)
    assert three.stopped
    assert not two.stopped

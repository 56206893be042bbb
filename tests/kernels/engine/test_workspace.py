"""Memory that is used again."""

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from minidistil.kernels.engine import workspace as module
from minidistil.kernels.engine.workspace import SMALL, Workspace, empty, empty_like


@pytest.fixture(autouse=True)
def workspace(monkeypatch):
    fresh = Workspace()
    monkeypatch.setattr(module, "workspace", fresh)
    return fresh


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_when_the_last_view_is_gone(workspace):
    first = empty((300, 300), np.float32)
    assert workspace.used == first.nbytes >= SMALL
    view, where = first[10:20, 3:], address(first)
    del first
    second = empty((300, 300), np.float32)
    assert address(second) != where, "a view is still looking into it"
    del view
    third = empty((300, 300), np.float32)
    assert address(third) == where
    assert workspace.free == 0


def test_arrays_are_what_was_asked_for():
    for shape in ((SMALL,), (3, 70_001), (0, 5), (7,)):
        for dtype in (np.float32, np.float64):
            array = empty(shape, dtype)
            assert (array.shape, array.dtype) == (shape, dtype)
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert array.nbytes < SMALL or address(array) % 64 == 0
            assert empty_like(array).shape == shape


def test_arrays_in_use_never_overlap():
    rng = np.random.default_rng(0)
    held = []
    for i in range(300):
        if held and rng.random() < 0.5:
            array, value = held.pop(rng.integers(len(held)))
            assert (array == value).all()
        array = empty((int(rng.integers(1, 400_000)),), np.float32)
        array[:] = i
        held.append((array, i))
    assert all((array == value).all() for array, value in held)


def test_it_never_holds_more_than_was_once_in_use(workspace):
    sizes = [1_000_000, 300_000, 2_000_000, 500_000, 100_000, 1_500_000]
    for size in sizes:  # one at a time: the most in use is the largest
        array = empty((size,), np.float32)
        del array
    assert workspace.used == 0
    assert workspace.free <= max(sizes) * 4
    assert workspace.peak == max(sizes) * 4


def test_a_block_much_too_large_is_left_alone(workspace):
    large = empty((10_000_000,), np.float32)
    del large
    small = empty((100_000,), np.float32)
    assert workspace.used == small.nbytes


def test_clearing_gives_memory_back(workspace):
    array = empty((1_000_000,), np.float32)
    del array
    assert workspace.free > 0
    workspace.clear()
    assert workspace.free == 0


def test_garbage_is_collected_wherever_it_is(workspace, monkeypatch):
    """Also while a block is taken: what then comes back must not wait for a lock that its thread holds."""

    def in_a_cycle():
        cycle = [empty((300, 300), np.float32)]
        cycle.append(cycle)

    class Collecting:
        """NumPy, but every allocation collects garbage, as any of Python's own may."""

        def __getattr__(self, name):
            gc.collect()
            return getattr(np, name)

    monkeypatch.setattr(module, "np", Collecting())
    gc.disable()
    try:
        for _ in range(3):
            in_a_cycle()
            done = threading.Thread(target=empty, args=((400, 400), np.float32), daemon=True)
            done.start()
            done.join(10)
            assert not done.is_alive(), "it waits for itself"
    finally:
        gc.enable()
    gc.collect()
    assert workspace.used == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks")
def test_a_child_is_not_kept_waiting_by_a_thread_of_its_parent():
    """It has only the thread that forked: whoever held a lock is not there to give it back."""
    code = (
        "import os, numpy as np\n"
        "from minidistil.kernels.engine import workspace as w\n"
        "from minidistil import threads\n"
        "w.workspace._lock.acquire()\n"  # as another thread would
        "threads.single_threaded_blas._lock.acquire()\n"
        "if os.fork() == 0:\n"
        "    w.empty((300, 300), np.float32)\n"
        "    with threads.single_threaded_blas(): pass\n"
        "    os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "7"


def test_a_step_of_training_takes_no_new_memory_the_second_time(workspace, monkeypatch):
    from tiny import CONFIG

    from minidistil import BertForSequenceClassification

    model = BertForSequenceClassification(CONFIG)
    ids = np.random.default_rng(0).integers(0, 5, (64, 4))
    labels = np.zeros(64, np.int64)
    asked = []
    take = workspace.take
    workspace.take = lambda size: (asked.append(size), take(size))[1]
    monkeypatch.setattr(module, "SMALL", 64)  # so that the arrays of a tiny model count
    model.loss_and_grads(ids, labels=labels)
    gc.collect()
    peak = workspace.peak
    model.loss_and_grads(ids, labels=labels)
    assert len(asked) > 10
    assert workspace.peak < 1.02 * peak  # a block may be a little larger than what was asked for

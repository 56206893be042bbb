"""Work that is done ahead: in order, one item ahead and no more, errors where they belong."""

import subprocess
import sys
import threading
import time

import pytest
from tiny import make_classifier

from minidistil.prefetch import map_ahead, prefetch


def test_order():
    assert list(prefetch(range(100))) == list(range(100))
    assert list(prefetch([])) == []
    assert list(prefetch([None, False, 0])) == [None, False, 0]


def test_the_next_is_made_while_one_is_used_and_no_more():
    made, second = [], threading.Event()

    def items():
        for n in range(5):
            made.append((n, threading.current_thread()))
            if n == 1:
                second.set()
            yield n

    coming = prefetch(items())
    assert made == []
    assert next(coming) == 0
    assert second.wait(10), "made without being asked for"
    time.sleep(0.05)
    assert [n for n, _ in made] == [0, 1]
    assert all(thread is not threading.current_thread() for _, thread in made)
    coming.close()
    assert [n for n, _ in made] == [0, 1], "nobody wants the rest"


def test_errors_come_where_the_item_would():
    def items():
        yield 1
        raise KeyError("second")

    coming = prefetch(items())
    assert next(coming) == 1
    with pytest.raises(KeyError, match="second"):
        next(coming)


def test_results_come_in_order_however_long_each_takes():
    def slow(n):
        time.sleep(0.01 * (5 - n))
        return -n

    assert list(map_ahead(slow, range(5), threads=3)) == [(n, -n) for n in range(5)]
    assert list(map_ahead(slow, [], threads=3)) == []
    with pytest.raises(ZeroDivisionError):
        list(map_ahead(lambda n: 1 // n, [1, 0], threads=2))


def test_an_iterator_that_is_dropped_leaves_no_thread():
    before = threading.active_count()
    coming = prefetch(range(9))
    next(coming)
    del coming
    assert threading.active_count() == before


def test_without_threads_the_caller_does_the_work(monkeypatch):
    def none(self):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", none)
    assert list(prefetch(range(5))) == list(range(5))
    assert list(map_ahead(abs, [-1, 2], threads=2)) == [(-1, 1), (2, 2)]


PROGRAM = """
import atexit, sys, threading
from minidistil import pipeline

classify = pipeline("text-classification", sys.argv[1], backend="numpy")
main = threading.main_thread()

def answer(what):
    print(what, len(classify(["a film"] * 3)), flush=True)

def outlive():
    main.join()
    answer("thread")

threading.Thread(target=outlive).start()
atexit.register(answer, "exit")
"""


def test_work_after_the_main_thread_has_ended(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(make_classifier(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert sorted(done.stdout.split("\n")) == ["", "exit 3", "thread 3"], done.stderr

"""Work that is done ahead: in order, one item ahead and no more, errors where they belong."""

import threading
import time

import pytest

from minidistil.ahead import ahead


def test_order():
    assert list(ahead(range(100))) == list(range(100))
    assert list(ahead([])) == []
    assert list(ahead([None, False, 0])) == [None, False, 0]


def test_the_next_is_made_while_one_is_used_and_no_more():
    made, second = [], threading.Event()

    def items():
        for n in range(5):
            made.append((n, threading.current_thread()))
            if n == 1:
                second.set()
            yield n

    coming = ahead(items())
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

    coming = ahead(items())
    assert next(coming) == 1
    with pytest.raises(KeyError, match="second"):
        next(coming)

"""Number of threads: from the environment, from a call; BLAS held to one."""

import pytest
from threadpoolctl import threadpool_info

from minidistil import threads
from minidistil.errors import UsageError


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    before = threads.get_num_threads()
    yield
    monkeypatch.undo()
    threads.set_num_threads(before)


def test_blas_gets_its_threads_back():
    def blas():
        return [lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"]

    before = blas()
    with threads.single_threaded_blas(), threads.single_threaded_blas():
        assert set(blas()) <= {1}
    assert blas() == before


def test_environment_sets_the_number(monkeypatch):
    monkeypatch.setattr(threads, "count", None)
    monkeypatch.setenv("MINIDISTIL_THREADS", "3")
    assert threads.get_num_threads() == 3


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_nonsense_in_the_environment_is_refused(monkeypatch, value):
    monkeypatch.setattr(threads, "count", None)
    monkeypatch.setenv("MINIDISTIL_THREADS", value)
    with pytest.raises(UsageError, match="MINIDISTIL_THREADS"):
        threads.get_num_threads()


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", None, True])
def test_no_threads_is_refused(n):
    with pytest.raises(UsageError, match="at least 1"):
        threads.set_num_threads(n)

"""A child that was forked while other threads were busy finds every lock free."""

import os
import signal
import sys
import threading
import time

import pytest
from numba.core.compiler_lock import global_compiler_lock

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
HELD = 0.5  # seconds


def comes_to_its_end(work):
    """True if a child forked here does `work`, and is not stopped by its alarm."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        work()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status == 0


def start(work):
    """Another thread that is inside `work`, which calls what it is given when it is."""
    inside = threading.Event()
    thread = threading.Thread(target=work, args=(inside.set,))
    thread.start()
    assert inside.wait(30)
    return thread


def enter_compiler():
    with global_compiler_lock:
        pass


def test_while_another_thread_compiles():
    from minidistil import kernels  # noqa: F401

    def compile_(inside):
        with global_compiler_lock:
            inside()
            time.sleep(HELD)

    thread = start(compile_)
    assert comes_to_its_end(enter_compiler)
    thread.join()
    assert comes_to_its_end(enter_compiler)
    enter_compiler()  # and the parent's is free


def test_while_another_thread_imports(tmp_path, monkeypatch):
    (tmp_path / "slow_one.py").write_text(f"import time, inside; inside.set(); time.sleep({HELD}); whole = 1")
    (tmp_path / "inside.py").write_text("set = None")
    monkeypatch.syspath_prepend(tmp_path)
    import inside

    def import_(began):
        monkeypatch.setattr(inside, "set", began)
        __import__("slow_one")

    def use():
        from slow_one import whole

        assert whole == 1

    thread = start(import_)
    assert comes_to_its_end(use)
    thread.join()
    for name in ("slow_one", "inside"):
        del sys.modules[name]


def test_while_importing(tmp_path, monkeypatch):
    """A fork in the middle of an import, for which another thread waits, does not wait for that thread."""
    (tmp_path / "forking.py").write_text(
        "import os, threading, time\n"
        "thread = threading.Thread(target=__import__, args=('waiting',))\n"
        "thread.start()\n"
        "time.sleep(0.3)\n"
        "child = os.fork()\n"
        "if not child: os._exit(0)\n"
        "_, status = os.waitpid(child, 0)\n"
    )
    (tmp_path / "waiting.py").write_text("import forking")
    monkeypatch.syspath_prepend(tmp_path)
    import forking

    forking.thread.join()
    assert forking.status == 0
    for name in ("forking", "waiting"):
        del sys.modules[name]

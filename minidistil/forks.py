"""Forks while other threads are busy: the child has none of these threads, but the locks they held.

A fork waits until no other thread is inside the locks that are named here, nor importing a module (as numba
and NumPy do on first use): so the child finds what they guard whole, and can enter. Other locks are renewed
in the child by those who own them.
"""

from __future__ import annotations

import _imp
import concurrent.futures.thread  # noqa: F401  # these two do something before a fork: they must be there
import importlib
import logging  # noqa: F401
import os
import threading
from contextlib import AbstractContextManager
from typing import Any

_locks: list[AbstractContextManager[Any]] = []


def wait_for(*locks: AbstractContextManager[Any]) -> None:
    """Let forks wait for these re-entrant locks, which other threads take in this order."""
    _locks.extend(locks)


def _importing() -> Any:
    """The lock of a module that another thread is importing, or None."""
    for reference in list(getattr(importlib._bootstrap, "_module_locks", {}).values()):
        lock = reference()
        if lock is not None and lock.owner not in (None, threading.get_ident()):
            return lock
    return None


def _take() -> None:
    patient = True
    while True:
        for lock in _locks:
            lock.__enter__()
        _imp.acquire_lock()  # no import begins
        module = _importing() if patient else None
        if module is None:
            return
        _give_back()  # an import may need these locks to come to its end
        try:
            module.acquire()
            module.release()
        except RuntimeError:  # it waits in turn for what this thread is importing
            patient = False


def _give_back() -> None:
    _imp.release_lock()
    for lock in reversed(_locks):
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_take, after_in_parent=_give_back, after_in_child=_give_back)

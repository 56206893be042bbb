"""With NUMBA_DISABLE_JIT=1 the kernels are plain Python, whose NumPy scalars warn of overflow; compiled
code does not, and infinity is what it should give."""

import os

import pytest

from minidistil.kernels.engine.pool import awake_pool


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        for item in items:
            item.add_marker(pytest.mark.filterwarnings("ignore::RuntimeWarning"))


@pytest.fixture(scope="session", autouse=True)
def pool():
    """The pool makes native functions known, which a test may call without any other kernel before it."""
    return awake_pool()

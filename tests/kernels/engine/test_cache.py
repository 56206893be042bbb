"""The cache of compiled kernels: whatever is in it, the right code runs, and one line says what is wrong."""

import errno
import importlib.util
import logging
import os
import shutil
import tempfile

import numpy as np
import pytest

from minidistil.kernels.engine import cache
from minidistil.kernels.engine.compile import CONFIG

pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")

SOURCE = """
from minidistil.kernels.engine.compile import strict, reassociate

@reassociate
def total(x):
    sum = x.dtype.type(0)
    for i in range(x.shape[0]):
        sum += x[i]
    return sum

@strict
def twice(x):
    return total(x) + total(x)
"""
X = np.arange(5.0, dtype=np.float32)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, in a process that has said nothing so far."""
    monkeypatch.setattr(CONFIG, "CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_warned", set())
    (tmp_path / "toy.py").write_text(SOURCE)
    return tmp_path / "cache"


def new_process(place):
    """The module of two kernels, as a new process would have it: nothing is compiled or loaded."""
    spec = importlib.util.spec_from_file_location("toy", place.parent / "toy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hits(kernel):
    return sum(kernel.stats.cache_hits.values())


def files(place, name="."):
    return sorted(file for file in place.rglob("*.nbc") if name in file.name)


def test_it_is_compiled_once(place, caplog):
    for before in (0, 1):
        toy = new_process(place)
        assert (toy.twice(X), hits(toy.twice)) == (20, before)
        assert toy.twice(X.astype(np.float64)) == 20
    assert len(files(place)) == 4  # two kernels, two types
    assert not caplog.records


def test_what_is_missing_is_compiled_again(place):
    new_process(place).twice(X)
    before = {file.name: file.stat().st_mtime_ns for file in files(place)}
    files(place, "twice")[0].unlink()
    toy = new_process(place)
    assert (toy.twice(X), hits(toy.twice), hits(toy.total)) == (20, 0, 1)
    assert [file.name for file in files(place)] == list(before)


def empty(file):
    file.write_bytes(b"")


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def changed(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def of_another_kernel(file):
    shutil.copy(files(file.parent, "total")[0], file)


def foreign(file):
    file.write_bytes(b"\x80\x04K\x01." * 100)  # a pickle, but none of ours


def a_pipe(file):
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("harm", [empty, cut, changed, of_another_kernel, foreign, a_pipe])
def test_a_damaged_file_is_compiled_again(harm, place, caplog):
    new_process(place).twice(X)
    file = files(place, "twice")[0]
    harm(file)
    for _ in range(2):
        toy = new_process(place)
        assert toy.twice(X) == 20
    assert hits(toy.twice) == 1  # it was written over
    (record,) = caplog.records
    assert (str(file) in record.getMessage(), record.levelno) == (True, logging.WARNING)


def test_a_full_disk_keeps_nothing(place, caplog, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        for _ in range(2):
            assert new_process(place).twice(X) == 20
    assert not [file for file in place.rglob("*") if file.is_file()]
    (record,) = caplog.records
    assert "No space left on device" in record.getMessage()
    assert "NUMBA_CACHE_DIR" in record.getMessage()


def test_a_place_for_reading_alone(place, caplog, monkeypatch):
    """Load what is there and compile the rest: nothing can be written, here or elsewhere."""

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    new_process(place).total(X)
    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    toy = new_process(place)
    assert (toy.total(X), hits(toy.total), caplog.records) == (10, 1, [])
    assert (toy.twice(X), hits(toy.twice)) == (20, 0)
    (record,) = caplog.records
    assert "NUMBA_CACHE_DIR" in record.getMessage()


def test_a_new_version_takes_the_place_of_the_old(place, monkeypatch):
    new_process(place).twice(X)
    before = set(files(place))
    monkeypatch.setattr(cache, "STAMP", "another")
    toy = new_process(place)
    assert (toy.twice(X), hits(toy.twice)) == (20, 0)
    after = set(files(place))
    assert (len(after), before & after) == (2, set())


@pytest.mark.parametrize("name", cache.SETTINGS)
def test_settings_of_the_compiler_count(name, monkeypatch):
    monkeypatch.setattr(CONFIG, name, "another")
    assert cache._stamp() != cache.STAMP

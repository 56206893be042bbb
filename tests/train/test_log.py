"""metrics.jsonl: appended, flushed, cut on resuming."""

import errno
import io
import json
import math
import os

import numpy as np
import pytest

from minidistil.errors import StorageError
from minidistil.train.log import MetricsLog


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_record_is_a_line_at_once(tmp_path):
    path = tmp_path / "run" / "metrics.jsonl"
    log = MetricsLog(path)
    log.write("train", 1, {"loss": np.float32(0.5), "tokens": np.int64(7)})
    assert lines(path) == [{"kind": "train", "step": 1, "loss": 0.5, "tokens": 7}]  # before it is closed
    log.write("eval", 1, {"accuracy": math.nan, "score": math.inf})
    assert lines(path)[1] == {"kind": "eval", "step": 1, "accuracy": None, "score": None}
    log.close()
    assert log.records == lines(path)


def test_records_after_the_checkpoint_are_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in range(1, 6):
        log.write("train", step, {})
    log.close()
    log = MetricsLog(path, step=3)
    assert [r["step"] for r in log.records] == [1, 2, 3]
    log.write("train", 4, {"again": True})
    log.close()
    assert [r["step"] for r in lines(path)] == [1, 2, 3, 4]
    assert lines(path)[-1]["again"]


@pytest.mark.parametrize(
    "torn", ['{"kind": "train", "st', "[" * 100_000, "\x00\x00\x00", "[1]\n", '{"loss": 1}\n', "\udcff"]
)
def test_a_torn_line_is_dropped(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"kind": "train", "step": 1}\n' + torn.encode("utf-8", "surrogateescape"))
    log = MetricsLog(path, step=9)
    log.write("train", 2, {})
    log.close()
    assert [r["step"] for r in lines(path)] == [1, 2]


def test_without_a_file():
    log = MetricsLog(None)
    log.write("train", 1, {"loss": 2.0})
    log.sync()
    log.close()
    assert log.records == [{"kind": "train", "step": 1, "loss": 2.0}]


def test_full_disk(tmp_path):
    class Full(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.close()
    log._file = io.TextIOWrapper(io.BufferedWriter(Full()))
    for attempt in (lambda: log.write("train", 1, {}), log.close):  # closing tries again what was not written
        with pytest.raises(StorageError, match=r"metrics\.jsonl: the disk is full"):
            attempt()


def test_full_disk_when_it_is_synced(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write("train", 1, {})
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        log.sync()
    log.close()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"metrics\.jsonl"):
        MetricsLog(tmp_path / "file" / "metrics.jsonl")

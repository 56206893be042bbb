"""Reading small files: whatever lies at the path, there is content or one clear error, and never a wait."""

import json
import os

import pytest

from minidistil.errors import ConfigError, WeightsError
from minidistil.files import read_json, read_small, read_text, write_json


def test_json_is_read_with_and_without_a_byte_order_mark(tmp_path):
    for start in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "a.json").write_bytes(start + '{"a": "\u00fc"}'.encode())
        assert read_json(tmp_path / "a.json") == {"a": "\u00fc"}


def test_the_kind_is_checked(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json", kind=list) == [1]
    assert read_json(tmp_path / "a.json", kind=object) == [1]
    (tmp_path / "b.json").write_bytes(rb'{"a": "\ud83d\ude00"}')
    assert read_json(tmp_path / "b.json") == {"a": "\U0001f600"}
    with pytest.raises(WeightsError, match=r"a\.json must hold an object of JSON, not list"):
        read_json(tmp_path / "a.json", WeightsError)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is not JSON: Expecting value"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON: it is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not JSON: Exceeds the limit"),
        (rb'{"a": ["\ud83d\ude00", "\ud800"]}', "holds half of a surrogate pair"),
        (b'{"a": "\xff"}', "is not UTF-8 text: byte 7 is invalid"),
    ],
)
def test_what_is_no_json_is_named(tmp_path, content, says):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError, match=says) as error:
        read_json(tmp_path / "a.json")
    assert str(tmp_path / "a.json") in str(error.value)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, says in (
        ("fifo", "is not a regular file"),
        ("zero", "is not a regular file"),
        (".", "cannot read .*: Is a directory"),
        ("loop", "cannot read .*: Too many levels"),
        ("none", "cannot read .*: No such file"),
        ("x" * 300, "cannot read .*: File name too long"),
        ("a\0b", "cannot read .*null"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_small(tmp_path / name)


def test_a_file_beyond_the_limit_is_not_read_on(tmp_path):
    (tmp_path / "a.txt").write_text("x" * 1001)
    assert len(read_text(tmp_path / "a.txt", limit=1001)) == 1001
    with pytest.raises(ConfigError, match="has more than 0 MB"):
        read_text(tmp_path / "a.txt", limit=1000)


def test_numbers_that_json_has_not_are_read_as_python_writes_them(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"a": float("inf")}))
    assert read_json(tmp_path / "a.json") == {"a": float("inf")}


def test_what_is_written_is_read_again_and_a_row_is_a_line(tmp_path):
    value = {
        "a": [[1, 2.5], [3, None]],
        "b": {"c": [], "d": {}, "e": ["x"]},
        "f": [{"g": 1}, 2],
        "h\n": "\u00fc",
    }
    write_json(tmp_path / "a.json", {**value, "i": (float("nan"), 1), 5: True})
    assert read_json(tmp_path / "a.json") == {**value, "i": [None, 1], "5": True}
    lines = (tmp_path / "a.json").read_text().splitlines()
    assert lines[1:5] == ['  "a": [', "    [1, 2.5],", "    [3, null]", "  ],"]

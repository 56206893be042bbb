"""Atomic writing: the old content survives every way a write can fail."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys

import pytest

from minidistil.errors import StorageError
from minidistil.files import atomic_directory, atomic_write, sha256_file


def names(directory):
    return sorted(p.name for p in directory.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """Every flush to the disk finds it full."""

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.fixture
def journal(monkeypatch):
    """What was flushed (device and inode) and renamed, in order."""
    events = []
    fsync, replace, rename = os.fsync, os.replace, os.rename
    inode = lambda status: (status.st_dev, status.st_ino)
    monkeypatch.setattr(os, "fsync", lambda d: (events.append(("sync", inode(os.fstat(d)))), fsync(d)))
    monkeypatch.setattr(
        os, "replace", lambda a, b: (events.append(("move", inode(os.stat(a)))), replace(a, b))
    )
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append(("move", inode(os.stat(a)))), rename(a, b)))
    return events


def test_file_appears_with_its_parents_and_ordinary_permissions(tmp_path):
    target = tmp_path / "a" / "b" / "notes.json"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        temporary.write_text("new")
        assert not target.exists()
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    assert target.read_text() == "new"
    assert target.stat().st_mode == ordinary.stat().st_mode
    assert names(target.parent) == ["notes.json"]


def test_file_is_flushed_before_it_is_renamed_and_its_directory_after(tmp_path, journal):
    with atomic_write(tmp_path / "f") as temporary:
        temporary.write_text("new")
    file, directory = ((s.st_dev, s.st_ino) for s in ((tmp_path / "f").stat(), tmp_path.stat()))
    assert journal == [("sync", file), ("move", file), ("sync", directory)]


def write_half(target, error):
    with atomic_write(target) as temporary:
        temporary.write_text("half")
        raise error


def test_failure_inside_the_block_leaves_the_old_file(tmp_path):
    target = tmp_path / "f"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half(target, KeyboardInterrupt())
    with pytest.raises(StorageError, match=r"cannot write .*f: the disk is full"):
        write_half(target, OSError(errno.ENOSPC, "No space left on device"))
    assert target.read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_full_disk_leaves_the_old_file_and_says_so(tmp_path, full_disk):
    target = tmp_path / "f"
    target.write_text("old")
    message = r"cannot write .*f: the disk is full .*untouched"
    with pytest.raises(StorageError, match=message) as caught, atomic_write(target) as temporary:
        temporary.write_text("new")
    assert caught.value.exit_code == 3
    assert target.read_text() == "old"
    assert names(tmp_path) == ["f"]


def test_kill_in_the_middle_leaves_the_old_file(tmp_path):
    target = tmp_path / "f"
    target.write_text("old")
    code = (
        "import os, sys\nfrom minidistil.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as t:\n    t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("old")
    with pytest.raises(StorageError, match="file"), atomic_write(tmp_path / "file" / "f"):
        pass
    (tmp_path / "directory").mkdir()
    with pytest.raises(StorageError, match="directory"), atomic_write(tmp_path / "directory") as temporary:
        temporary.write_text("new")
    assert names(tmp_path) == ["directory", "file"]


def test_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "shared").write_text("old")
    (tmp_path / "link").symlink_to("shared")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "shared").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"


def fill(staging):
    (staging / "config.json").write_text("new")
    (staging / "1_Pooling").mkdir()
    (staging / "1_Pooling" / "config.json").write_text("new")


def test_new_directory_appears_whole(tmp_path, journal):
    target = tmp_path / "runs" / "student"
    with atomic_directory(target) as staging:
        fill(staging)
        assert not target.exists()
    assert names(target) == ["1_Pooling", "config.json"]
    assert names(target.parent) == ["student"]
    move = [kind for kind, _ in journal].index("move")
    flushed = {inode for kind, inode in journal[:move] if kind == "sync"}
    written = [target, target / "config.json", target / "1_Pooling", target / "1_Pooling" / "config.json"]
    assert {(s.st_dev, s.st_ino) for s in map(os.stat, written)} <= flushed


def test_existing_directory_keeps_other_files(tmp_path, journal):
    target = tmp_path / "student"
    (target / "1_Pooling").mkdir(parents=True)
    for name in ("config.json", "mine.txt", "1_Pooling/config.json", "1_Pooling/mine.txt"):
        (target / name).write_text("old")
    with atomic_directory(target) as staging:
        fill(staging)
    found = {str(p.relative_to(target)): p.read_text() for p in target.rglob("*") if p.is_file()}
    assert found == {
        "config.json": "new",
        "mine.txt": "old",
        "1_Pooling/config.json": "new",
        "1_Pooling/mine.txt": "old",
    }
    assert names(target) == ["1_Pooling", "config.json", "mine.txt"]
    first_move = [kind for kind, _ in journal].index("move")
    moved = {inode for kind, inode in journal if kind == "move"}
    assert moved <= {inode for kind, inode in journal[:first_move] if kind == "sync"}
    last_move = len(journal) - [kind for kind, _ in reversed(journal)].index("move")
    directories = {(s.st_dev, s.st_ino) for s in (target.stat(), (target / "1_Pooling").stat())}
    assert directories == {inode for _, inode in journal[last_move:]}


def test_killed_at_any_rename_what_has_a_config_is_whole(tmp_path):
    """Into a directory that exists files go one by one; the next that writes there clears up."""
    files = ["config.json", "model.safetensors", "tokenizer.json"]
    code = (
        "import os, signal, sys\nfrom minidistil.files import atomic_directory\n"
        "replace, left = os.replace, []\n"
        "def some(*where):\n"
        "    if len(left) == int(sys.argv[2]): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    left.append(replace(*where))\n"
        "os.replace = some\n"
        "with atomic_directory(sys.argv[1]) as staging:\n"
        f"    for name in {files}: (staging / name).write_text('new')\n"
    )
    target = tmp_path / "student"
    target.mkdir()
    for renamed in range(3):
        done = subprocess.run([sys.executable, "-c", code, str(target), str(renamed)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert len([name for name in names(target) if not name.startswith(".")]) == renamed
        assert not (target / "config.json").exists()
        for path in target.glob("*.*"):
            if path.is_file():
                path.unlink()
    with atomic_directory(target) as staging:
        fill(staging)
    assert names(target) == ["1_Pooling", "config.json"]


@pytest.mark.parametrize("exists", [True, False])
def test_full_disk_leaves_the_old_directory(tmp_path, full_disk, exists):
    target = tmp_path / "student"
    if exists:
        target.mkdir()
        (target / "config.json").write_text("old")
    with pytest.raises(StorageError, match=r"student: the disk is full"), atomic_directory(target) as staging:
        fill(staging)
    assert names(tmp_path) == (["student"] if exists else [])
    if exists:
        assert names(target) == ["config.json"]
        assert (target / "config.json").read_text() == "old"


def test_file_in_the_place_of_a_directory(tmp_path):
    (tmp_path / "student").write_text("old")
    with pytest.raises(StorageError, match="a file is in the place"), atomic_directory(tmp_path / "student"):
        pass
    assert (tmp_path / "student").read_text() == "old"


def test_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc" * 100_000)
    assert sha256_file(tmp_path / "f") == hashlib.sha256(b"abc" * 100_000).hexdigest()

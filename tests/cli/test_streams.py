"""Whatever the standard streams are joined to: other encodings, full disks, nothing at all."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_classifier

from minidistil import files
from minidistil.cli import streams
from minidistil.cli.main import main
from minidistil.errors import DataError, MissingAssetError, StorageError
from minidistil.progress import Progress
from minidistil.streams import is_terminal, say
from minidistil.text.sources import STDIN, lines_of
from minidistil.weights import assets, hub


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return str(make_classifier(tmp_path_factory.mktemp("streams")))


class Full(io.StringIO):
    """As /dev/full: it takes what is written, until it is flushed."""

    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("text", ["na\u00efve \u2615 \U0001f600", "caf\u00e9", "\udc80"])
def test_what_an_encoding_lacks_is_escaped(monkeypatch, encoding, text):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    streams.prepare()
    print(json.dumps({"text": text}, ensure_ascii=False), flush=True)
    assert json.loads(raw.getvalue().decode(encoding)) == {"text": text}


def test_what_goes_to_a_pipe_is_utf_8(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    streams.prepare()
    print("na\u00efve \u2615", flush=True)
    assert raw.getvalue().decode() == "na\u00efve \u2615\n"


@pytest.mark.parametrize("system", ["ascii", "latin-1", "utf-8"])
def test_texts_of_the_command_line_are_utf_8(monkeypatch, system):
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode(system, "surrogateescape"))
    argument = "na\u00efve \u2615".encode().decode(system, "surrogateescape")
    assert streams.as_utf_8(argument) == "na\u00efve \u2615"
    assert streams.as_utf_8("a film") == "a film"
    if system == "latin-1":  # typed at a terminal of that encoding
        assert streams.as_utf_8("na\u00efve") == "na\u00efve"


def test_a_full_disk_behind_standard_output_is_one_line(classifier, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Full())
    for arguments in (["predict", classifier, "a film", "--backend", "numpy"], ["inspect", classifier]):
        assert main(arguments) == 3
        assert capsys.readouterr().err.splitlines()[-1].endswith("cannot be written: No space left on device")
    assert main(["--help"]) == 3


@pytest.mark.parametrize("stream", [None, Full(), io.StringIO()], ids=["none", "full", "closed"])
def test_without_standard_error_work_goes_on(monkeypatch, stream):
    if isinstance(stream, io.StringIO) and not isinstance(stream, Full):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("minidistil.progress.SECONDS_BETWEEN_LINES", 0.0)
    assert not is_terminal(stream)
    assert not say("nobody hears it")
    with Progress(2, "working") as progress:
        progress.update(1)
        progress.note("half of it")
        progress.update(1)
    assert progress.done == 2


def test_a_terminal_that_goes_takes_the_bar_with_it(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

        def write(self, text):
            raise OSError(errno.EIO, "Input/output error")

    shown = io.StringIO()
    shown.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", shown)
    with Progress(2, "working") as progress:
        monkeypatch.setattr(shown, "write", Terminal().write)
        progress.update(1)
        progress.note("half of it")
        progress.update(1)
    assert progress.done == 2


def test_errors_without_standard_error_have_their_exit_code(classifier, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Full())
    assert main(["inspect", str(Path(classifier) / "nothing")]) in (3, 4)
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--nope"])
    assert stop.value.code == 2


def test_closed_streams_in_a_process_of_its_own(classifier, tmp_path):
    """With descriptors closed, files that are opened must not get their numbers."""
    command = f'{sys.executable} -m minidistil inspect "{classifier}" --json <&- 2>&-'
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0
    assert json.loads(done.stdout)["architecture"]


@pytest.mark.parametrize("closed", [True, False])
def test_standard_input_that_is_closed(monkeypatch, classifier, capsys, closed):
    stdin = io.TextIOWrapper(io.BytesIO(b"a"))
    if closed:
        stdin.close()
    monkeypatch.setattr(sys, "stdin", stdin if closed else None)
    with pytest.raises(DataError, match="standard input: it is closed"):
        list(lines_of(STDIN, "standard input"))
    assert main(["predict", classifier, "--backend", "numpy"]) == 3
    assert "standard input: it is closed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 3, "cannot be written: No space left on device"),
        (OSError(errno.EMFILE, "Too many open files", "model"), 3, "Too many open files: 'model'"),
        (MemoryError("Unable to allocate 5 GiB"), 3, "not enough memory. Unable to allocate 5 GiB"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=str,
)
def test_the_state_of_the_machine_is_one_line(classifier, monkeypatch, capsys, error, code, message):
    def run(args):
        raise error

    monkeypatch.setattr("minidistil.cli.inspect.run", run)
    assert main(["inspect", classifier]) == code
    assert capsys.readouterr().err.startswith("minidistil inspect: ")
    monkeypatch.setattr("minidistil.cli.main._parse", run)
    if isinstance(error, KeyboardInterrupt):
        from minidistil.__main__ import run as command

        assert command() == 130
        assert capsys.readouterr().err == "minidistil: interrupted\n"


def test_no_home(monkeypatch):
    def none():
        raise RuntimeError("Could not determine home directory.")

    for name in ("MINIDISTIL_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "HF_HOME", "HF_HUB_CACHE", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", none)
    monkeypatch.setattr(Path, "expanduser", lambda self: none())
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(StorageError, match="let MINIDISTIL_CACHE name a folder"):
        assets.cache_dir()
    monkeypatch.setenv("MINIDISTIL_CACHE", "~/cache")
    with pytest.raises(StorageError, match="let MINIDISTIL_CACHE name a folder"):
        assets.cache_dir()
    with pytest.raises((StorageError, MissingAssetError), match="let HF_HOME name a folder"):
        hub.resolve("organisation/model")


def test_no_place_for_temporary_files(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    with pytest.raises(StorageError, match=r"in .*none: .*TMPDIR names another"), files.temporary_directory():
        pass
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StorageError, match=r"No space left.*TMPDIR"), files.temporary_directory():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileNotFoundError), files.temporary_directory():
        (tmp_path.parent / "of the user").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_no_working_directory(monkeypatch):
    def gone():
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "getcwd", gone)
    with pytest.raises(StorageError, match="the working directory does not exist"):
        files.write_json("facts.json", {})

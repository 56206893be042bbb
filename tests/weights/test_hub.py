"""Fetching from a hub: huggingface_hub's own code, against a server on loopback.

Each fetch runs in a process of its own, since huggingface_hub reads its environment when imported.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from loopback_hub import COMMIT, LoopbackHub

from minidistil.errors import UsageError, WeightsError
from minidistil.weights.hub import resolve

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": bytes(range(256)) * 40,
    "tokenizer.json": b"{}",
    "tokenizer_config.json": b"{}",
    "vocab.txt": b"[PAD]\n",
    "modules.json": b"[]",
    "1_Pooling/config.json": b"{}",
    "config_sentence_transformers.json": b"{}",
    "sentence_xlm-roberta_config.json": b"{}",
    "any name/config.json": b"{}",
    "any name/model.safetensors": b"",
}
UNWANTED = {
    "pytorch_model.bin": b"\x80\x02",
    "tf_model.h5": b"",
    "README.md": b"#",
    "onnx/model.onnx": b"",
    "any name/pytorch_model.bin": b"\x80\x02",
}
MOVED = json.dumps([{"type": "sentence_transformers.models.Transformer", "path": "0_Transformer"}]).encode()
OLD = {f"0_Transformer/{name}": FILES[name] for name in ("config.json", "model.safetensors", "vocab.txt")}

SCRIPT = """
import json, sys
from minidistil.errors import MinidistilError
from minidistil.weights.hub import resolve
for name, revision in json.loads(sys.argv[1]):
    try:
        out = {"path": str(resolve(name, revision=revision))}
    except MinidistilError as error:
        out = {"error": type(error).__name__, "exit_code": error.exit_code, "message": str(error)}
    print(json.dumps(out))
"""


@pytest.fixture
def hub():
    repositories = {
        "org/tiny": FILES | UNWANTED,
        "org/old": {"modules.json": MOVED, **OLD},
        "pickles": {"config.json": b"{}", **UNWANTED},
        LoopbackHub.GATED: {},
    }
    server = LoopbackHub(repositories)
    yield server
    server.close()


class Unsound(LoopbackHub):
    """Answers as something that is no hub, or means harm: "bad/how" says how."""

    def send(self, request, content):
        how = re.search(r"bad/(\w+)", request.path)[1]
        if request.path.startswith("/api/"):
            names = content.replace(b"config.json", NAMES.get(how, b"config.json"))
            super().send(request, LISTINGS.get(how, names))
        elif how == "vast" or (how == "endless" and request.command == "GET"):
            request.send_response(200)
            request.send_header("ETag", '"a"')
            request.send_header("X-Repo-Commit", COMMIT)
            if how == "vast":
                request.send_header("Content-Length", str(2**62))
            request.end_headers()
            with suppress(OSError):  # whoever asked has left
                for _ in range(200 if how == "endless" else 0):
                    request.wfile.write(bytes(1 << 20))
        else:
            super().send(request, content)


LISTINGS = {"html": b"<html></html>", "list": b"[1, 2]", "deep": b"[" * 100_000}
NAMES = {"absolute": b"/evil.safetensors", "upwards": b"../../../../../../evil.safetensors"}


def test_what_is_no_hub_or_means_harm(tmp_path):
    ways = [*LISTINGS, *NAMES, "vast", "endless"]
    server = Unsound({f"bad/{how}": {"config.json": b"{}", "model.safetensors": bytes(99)} for how in ways})
    try:
        answers = fetch(tmp_path / "home", server.endpoint, *((f"bad/{how}", None) for how in ways))
    finally:
        server.close()
    for how, found in zip(ways, answers, strict=True):
        assert found.get("exit_code") == 4, how
        assert found["message"].startswith(f"bad/{how} ")
        assert "\n" not in found["message"]
    assert not list(tmp_path.rglob("evil*"))
    assert not os.path.exists("/evil.safetensors")
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100 << 20


def fetch(home: Path, endpoint: str, *wanted: tuple[str, str | None], **environment: str):
    """What `resolve` answers for each (id, revision), in a process with a clean environment."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(wanted)],
        env={**kept, "HF_HOME": str(home), "HF_ENDPOINT": endpoint, "NO_PROXY": "127.0.0.1", **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_fetch_then_work_without_the_hub(hub, tmp_path):
    home = tmp_path / "home"
    first, old = fetch(home, hub.endpoint, ("org/tiny", None), ("org/old", None), HF_TOKEN="hf_secret")
    assert {name for name in OLD if (Path(old["path"]) / name).exists()} == OLD.keys()
    path = Path(first["path"])
    assert path.is_relative_to(home)
    assert path.name == COMMIT
    found = {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    assert found == FILES
    assert not any(name in path for name in UNWANTED for path in hub.paths)
    assert {token for _, path, token in hub.requests if "org/tiny" in path} == {"Bearer hf_secret"}
    hub.close()
    assert fetch(home, hub.endpoint, ("org/tiny", None), HF_HUB_OFFLINE="1") == [first]
    assert fetch(home, hub.endpoint, ("org/tiny", None)) == [first]


def test_what_the_hub_refuses(hub, tmp_path):
    missing, revision, pickles, gated, invalid = fetch(
        tmp_path / "home",
        hub.endpoint,
        ("org/nothing", None),
        ("org/tiny", "v9"),
        ("pickles", None),
        (LoopbackHub.GATED, None),
        ("org/a--b", None),
    )
    assert (missing["error"], missing["exit_code"]) == ("WeightsError", 3)
    assert "org/nothing is neither a directory here nor a repository of the hub" in missing["message"]
    assert revision["error"] == "WeightsError"
    assert "org/tiny has no revision 'v9'" in revision["message"]
    assert pickles["error"] == "WeightsError"
    assert "pickles holds no model.safetensors" in pickles["message"]
    assert "AutoModel.from_pretrained('pickles')" in pickles["message"]
    assert (gated["error"], gated["exit_code"]) == ("MissingAssetError", 4)
    assert "HF_TOKEN" in gated["message"]
    assert "hf download org/gated" in gated["message"]
    assert invalid["error"] == "WeightsError"
    assert "org/a--b does not exist and is no hub id" in invalid["message"]


def test_not_cached_and_offline(hub, tmp_path):
    wanted = (("org/tiny", None), ("org/tiny", "v1"))
    main, branch = fetch(tmp_path / "home", hub.endpoint, *wanted, HF_HUB_OFFLINE="1")
    assert hub.requests == []
    for answer in main, branch:
        assert (answer["error"], answer["exit_code"]) == ("MissingAssetError", 4)
        assert "org/tiny is no directory here, is not in the cache" in answer["message"]
        assert "HF_HUB_OFFLINE" in answer["message"]
    assert main["message"].endswith("run: hf download org/tiny")
    assert branch["message"].endswith("run: hf download org/tiny --revision v1")


def test_cache_that_holds_only_a_tokenizer(hub, tmp_path):
    repository = tmp_path / "home" / "hub" / "models--org--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT).mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "tokenizer.json").write_text("{}")
    (answer,) = fetch(tmp_path / "home", hub.endpoint, ("org/tiny", None), HF_HUB_OFFLINE="1")
    assert answer["error"] == "MissingAssetError"
    (answer,) = fetch(tmp_path / "home", hub.endpoint, ("org/tiny", None))
    assert (Path(answer["path"]) / "model.safetensors").exists()


def test_cache_that_cannot_be_written(hub, tmp_path):
    (tmp_path / "file").touch()
    (answer,) = fetch(tmp_path / "file", hub.endpoint, ("org/tiny", None))
    assert (answer["error"], answer["exit_code"]) == ("StorageError", 3)


def test_hub_down(hub, tmp_path):
    hub.close()
    (answer,) = fetch(tmp_path / "home", hub.endpoint, ("org/tiny", None))
    assert (answer["error"], answer["exit_code"]) == ("MissingAssetError", 4)
    assert "Connection refused" in answer["message"]


def test_local_directory_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org" / "tiny").mkdir(parents=True)
    assert resolve("org/tiny") == Path("org/tiny")
    assert resolve(tmp_path / "org" / "tiny") == tmp_path / "org" / "tiny"
    with pytest.raises(UsageError, match="no revision 'main'"):
        resolve("org/tiny", revision="main")


@pytest.mark.parametrize(
    "name",
    ["./student", "../student", "/no/where", "no/such/folder", "student/", "~/none", "~nobody-at-all/x"],
)
def test_paths_that_can_be_no_hub_id_never_reach_the_hub(name):
    with pytest.raises(WeightsError, match="does not exist; a directory or a hub id"):
        resolve(name)


def test_empty_path_is_not_the_current_directory():
    with pytest.raises(UsageError, match="empty"):
        resolve("")


def test_absurdly_long_path_is_one_clear_error():
    with pytest.raises(WeightsError, match="does not exist"):
        resolve("x/" * 5000)


def test_file_is_no_model(tmp_path):
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(WeightsError, match="is a file; give the directory"):
        resolve(tmp_path / "model.safetensors")

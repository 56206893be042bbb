"""An encoder, a file of texts and a command line, for the verbs that embed."""

import io
import json
import sys
from types import SimpleNamespace

import pytest
from embeddings_toy import TEXTS
from tiny import make_encoder

from minidistil.cli.main import main
from minidistil.embeddings import SentenceEncoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(make_encoder(tmp_path_factory.mktemp("embed")))


@pytest.fixture(scope="module")
def vectors(encoder):
    return SentenceEncoder.from_pretrained(encoder).encode(TEXTS)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n\n".join(TEXTS) + "\n")
    return str(path)


@pytest.fixture
def say(capsys):
    """`say(verb, ...)`: its exit code must be 0; the lines it prints, as JSON if asked for."""

    def run(*arguments):
        assert main([*map(str, arguments), "-q"]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [json.loads(line) for line in lines] if "--json" in arguments else lines

    return run


@pytest.fixture
def from_stdin(monkeypatch):
    def put(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))

    return put

"""Attention of all heads on the page of predictions."""

from html import unescape

import numpy as np
import pytest
from page_parts import read, unpack
from tiny import make_classifier

from minidistil.cli.main import main
from minidistil.model import load_model
from minidistil.report.attention import attention_maps
from minidistil.text.tokenizer import Tokenizer

TEXT = "the film is warm"
EVIL = '</script><!--<script>alert("x")</script> film\'s'


def test_attention_of_all(tmp_path, capsys):
    path = make_classifier(tmp_path)
    model, tokenizer = load_model(path), Tokenizer.from_pretrained(path)
    page = tmp_path / "p.html"
    command = ["predict", str(path), "--html", str(page), "--attention", "all"]
    assert main([*command, TEXT, EVIL]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2, "all is an option's, and no text"
    parts, data = read(page)
    assert EVIL in parts.text
    for text, one in zip((TEXT, EVIL), data, strict=True):
        maps = attention_maps(model, tokenizer, text)
        assert one["tokens"] == maps.tokens
        np.testing.assert_array_equal(unpack(one["models"][0]["values"]), maps.values)
    assert unescape(page.read_text(encoding="utf-8")).count('alt="layer 5, head 1"') == 2
    page.unlink()
    assert main(["predict", str(path), TEXT, "--html", str(page), "--attention", "0", "all"]) == 2
    assert "a layer and a head, or all" in capsys.readouterr().err
    for wrong in ("x", "-1"):
        with pytest.raises(SystemExit) as stop:
            main(["predict", "m", TEXT, "--html", str(page), "--attention", wrong, "1"])
        assert stop.value.code == 2
    assert main(["predict", str(path), "--", "--attention", "all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2, "texts, both"

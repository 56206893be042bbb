"""modules.json: folders of modules, and the activation of a cross-encoder."""

import json
import math

import pytest
from embeddings_toy import write
from tiny import make_classifier

from minidistil import pipeline
from minidistil.errors import ConfigError
from minidistil.modules_json import encoder_directory, read_modules


def test_modules_and_their_folders(tmp_path):
    write(
        tmp_path,
        modules=[
            {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
            {"path": "", "type": "my.own.Pooling"},
        ],
    )
    first, second = read_modules(tmp_path)
    assert (first.kind, first.folder) == ("Transformer", tmp_path / "0_Transformer")
    assert (second.kind, second.folder) == ("my.own.Pooling", tmp_path)
    assert encoder_directory(tmp_path) == tmp_path / "0_Transformer"
    assert encoder_directory(tmp_path / "0_Transformer") == tmp_path / "0_Transformer"


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc", "a\\b", "C:", "x" * 300, 3])
def test_folders_outside(tmp_path, path):
    write(tmp_path, modules=[{"path": path, "type": "sentence_transformers.models.Transformer"}])
    with pytest.raises(ConfigError, match='"path" of entry 0 is'):
        read_modules(tmp_path)


def test_where_a_cross_encoder_says_what_its_score_goes_through(tmp_path):
    """Beside config.json, in whose place sentence-transformers 6 puts it, and goes before it."""
    place = make_classifier(tmp_path, id2label={0: "LABEL_0"})
    names = {"Sigmoid": "torch.nn.modules.activation.Sigmoid", "Identity": "torch.nn.modules.linear.Identity"}
    config = json.loads((place / "config.json").read_text())
    write(
        place,
        config={**config, "sentence_transformers": {"activation_fn": names["Identity"], "version": "4"}},
    )
    (raw,) = pipeline("text-classification", place)("warm")
    write(
        place, config_sentence_transformers={"model_type": "CrossEncoder", "activation_fn": names["Sigmoid"]}
    )
    classify = pipeline("text-classification", place)
    assert classify("warm")[0].score == pytest.approx(1 / (1 + math.exp(-raw.score)), rel=1e-9)
    classify.model.save_pretrained(tmp_path / "saved", tokenizer=classify.tokenizer)
    assert pipeline("text-classification", tmp_path / "saved")("warm") == classify("warm")
    write(place, config_sentence_transformers={"model_type": "CrossEncoder", "activation_fn": 3})
    with pytest.raises(ConfigError, match=r"config_sentence_transformers.json: activation_fn is 3"):
        pipeline("text-classification", place)

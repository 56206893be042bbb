"""Their save into our load, our save into their load: the same outputs, nothing missing or left over."""

import numpy as np
import pytest
import torch
import transformers
from parity_tools import CLASSES, batch, our_outputs, random_model, their_config, their_outputs, twins
from safetensors import safe_open

from minidistil.model import load_model

SIZES = {
    "vocab_size": 90,
    "max_position_embeddings": 20,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "id2label": {0: "bad", 1: "fair", 2: "good"},
}
TOLERANCE = 1e-5  # relative, float32
UNTIED = ["BertForMaskedLM", "BertForPreTraining", "DistilBertForMaskedLM"]


def sizes(name, **changes):
    """Questions are answered by two outputs, which transformers calls labels."""
    return SIZES | ({"id2label": {0: "0", 1: "1"}} if "Question" in name else {}) | changes


def check_ours(name, path, theirs, what, report):
    ours = load_model(path)
    assert type(ours).__name__ == name
    assert ours.load_report.complete, str(ours.load_report)
    inputs = batch(name, 90, (4, 15))
    expected = their_outputs(theirs, inputs)
    report.relative(what, our_outputs(ours, inputs, expected), expected, TOLERANCE)


@pytest.mark.parametrize("how", ["plain", "shards", "float16", "bfloat16"])
@pytest.mark.parametrize("name", CLASSES)
def test_their_save_our_load(name, how, tmp_path, report):
    _, theirs = twins(name, scale=0.2, **sizes(name))
    if how.endswith("16"):
        theirs = theirs.to(getattr(torch, how))
    theirs.save_pretrained(tmp_path, **({"max_shard_size": "25KB"} if how == "shards" else {}))
    assert (len(list(tmp_path.glob("*.safetensors"))) > 2) == (how == "shards")
    check_ours(name, tmp_path, theirs.float(), f"their save ({how}) into our load, every class", report)


@pytest.mark.parametrize("name", UNTIED)
def test_their_untied_save_our_load(name, tmp_path, report):
    _, theirs = twins(name, scale=0.2, **sizes(name, tie_word_embeddings=False))
    theirs.save_pretrained(tmp_path)
    check_ours(name, tmp_path, theirs, "their save (untied) into our load", report)


def test_the_bias_that_an_untied_decoder_ignores(tmp_path, report):
    """transformers computes with the decoder's own bias and stores the other one too, whatever it holds."""
    _, theirs = twins("BertForMaskedLM", scale=0.2, **sizes("BertForMaskedLM", tie_word_embeddings=False))
    with torch.no_grad():
        theirs.cls.predictions.bias.add_(1)
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    assert ours.load_report.overridden == ("cls.predictions.bias",)
    inputs = batch("BertForMaskedLM", 90, (4, 15))
    expected = their_outputs(theirs, inputs)
    found = our_outputs(ours, inputs, expected)
    report.relative("their save (untied, two biases) into our load", found, expected, TOLERANCE)


@pytest.mark.parametrize(
    ("name", "tied"), [*((name, True) for name in CLASSES), *((name, False) for name in UNTIED)]
)
def test_our_save_their_load(name, tied, tmp_path, report):
    ours = random_model(name, scale=0.2, **sizes(name, tie_word_embeddings=tied))
    ours.save_pretrained(tmp_path)
    theirs, info = getattr(transformers, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    assert theirs.config.id2label == dict(ours.config.id2label)
    auto = transformers.AutoConfig.from_pretrained(tmp_path)
    assert type(auto) is type(their_config(ours.config))
    inputs = batch(name, 90, (4, 15))
    expected = their_outputs(theirs.eval(), inputs)
    what = "our save into their load, every class" if tied else "our save (untied) into their load"
    report.relative(what, our_outputs(ours, inputs, expected), expected, TOLERANCE)


def test_there_and_back_keeps_every_bit(tmp_path, report):
    """Our save, their load, their save, our load: not one bit of one tensor has changed."""
    ours = random_model("BertForPreTraining", **SIZES)
    ours.save_pretrained(tmp_path / "ours")
    transformers.BertForPreTraining.from_pretrained(tmp_path / "ours").save_pretrained(tmp_path / "theirs")
    back = load_model(tmp_path / "theirs")
    report.equal(
        "there and back, every tensor bit for bit",
        [value.tobytes() for value in back.params.values()],
        [value.tobytes() for value in ours.params.values()],
    )
    with safe_open(tmp_path / "ours" / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}
        assert not np.isnan(file.get_tensor("cls.predictions.bias")).any()

"""A decoder with weights of its own: what it computes with, and what transformers needs in the file."""

import json

import numpy as np
import pytest

from minidistil import BertConfig
from minidistil.model import MODELS, load_model
from minidistil.weights.safetensors_file import SafetensorsFile, write_safetensors

SIZES = {
    "vocab_size": 20,
    "max_position_embeddings": 8,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "tie_word_embeddings": False,
}
OLD, NEW = "cls.predictions.bias", "cls.predictions.decoder.bias"
IDS = [[2, 5, 3]]


def build(name):
    model = MODELS[name](MODELS[name].config_class(**SIZES))
    bias = next(name for name in model.params if name.endswith("decoder.bias"))
    model.params[bias][...] = np.arange(20)
    return model


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForPreTraining"])
def test_both_names_of_the_bias_are_stored(name, tmp_path):
    """transformers computes with the decoder's bias and still expects the other one."""
    model = build(name)
    model.save_pretrained(tmp_path)
    file = SafetensorsFile(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(file[NEW], np.arange(20))
    np.testing.assert_array_equal(file[OLD], np.arange(20))
    back = load_model(tmp_path)
    assert back.load_report.complete
    np.testing.assert_array_equal(back.params.flat, model.params.flat)


@pytest.mark.parametrize("stored", [(OLD,), (NEW,), (OLD, NEW)])
def test_either_name_is_read_and_the_decoders_own_wins(stored, tmp_path):
    model = build("BertForMaskedLM")
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {k: np.array(v) for k, v in SafetensorsFile(path).items()}
    values = {OLD: np.full(20, 7, np.float32), NEW: np.arange(20, dtype=np.float32)}
    tensors = {k: v for k, v in tensors.items() if k not in values} | {k: values[k] for k in stored}
    write_safetensors(path, tensors)
    back = load_model(tmp_path)
    np.testing.assert_array_equal(back.params[NEW], values[stored[-1]])
    assert back.load_report.overridden == ((OLD,) if len(stored) == 2 else ())
    if stored == (NEW,):
        np.testing.assert_array_equal(back(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("name", ["BertForMaskedLM", "RobertaForMaskedLM"])
def test_a_file_with_a_decoder_of_its_own_is_not_tied_whatever_its_config_says(name, tmp_path):
    model = build(name)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["tie_word_embeddings"] is False
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": True}))
    back = load_model(tmp_path)
    assert back.load_report.complete
    assert not back.config.tie_word_embeddings
    np.testing.assert_array_equal(back(IDS).logits, model(IDS).logits)


def test_of_two_biases_of_a_tied_decoder_its_own_counts(tmp_path):
    model = MODELS["BertForMaskedLM"](BertConfig(**SIZES | {"tie_word_embeddings": True}))
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {k: np.array(v) for k, v in SafetensorsFile(path).items()}
    write_safetensors(path, tensors | {NEW: np.arange(20, dtype=np.float32)})
    back = load_model(tmp_path)
    np.testing.assert_array_equal(back.params[OLD], np.arange(20))
    assert back.load_report.overridden == (OLD,)


def test_a_tied_model_stores_no_copies(tmp_path):
    model = MODELS["BertForMaskedLM"](BertConfig(**SIZES | {"tie_word_embeddings": True}))
    model.save_pretrained(tmp_path)
    assert set(SafetensorsFile(tmp_path / "model.safetensors")) == set(model.params)
    assert not {NEW, "cls.predictions.decoder.weight"} & set(model.params)

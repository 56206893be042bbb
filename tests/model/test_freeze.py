"""Freezing by names, beginnings of names and patterns."""

import pytest

from minidistil import BertConfig
from minidistil.errors import UsageError
from minidistil.model import BertForSequenceClassification, BertModel

SIZES = {"vocab_size": 11, "hidden_size": 4, "num_attention_heads": 2, "intermediate_size": 4}
CONFIG = BertConfig(num_hidden_layers=12, **SIZES)


@pytest.fixture(scope="module")
def bare():
    return BertModel(CONFIG, backend="numpy")


@pytest.fixture
def model(bare):
    bare.unfreeze()
    return bare


def test_a_beginning_is_of_whole_parts(model):
    model.freeze("encoder.layer.1")
    assert model.frozen == {name for name in model.params if name.startswith("encoder.layer.1.")}
    assert len(model.frozen) == 16
    assert not any("layer.10." in name or "layer.11." in name for name in model.frozen)


@pytest.mark.parametrize(
    ("pattern", "like"),
    [
        ("encoder.layer.1*", ("encoder.layer.1.", "encoder.layer.10.", "encoder.layer.11.")),
        ("encoder.layer.[02]", ("encoder.layer.0.", "encoder.layer.2.")),
        ("embeddings", ("embeddings.",)),
        ("pooler.dense.bias", ("pooler.dense.bias",)),
        ("encoder", ("encoder.",)),
    ],
)
def test_patterns(model, pattern, like):
    count = model.freeze(pattern)
    assert model.frozen == {name for name in model.params if name.startswith(like)}
    assert count == len(model.frozen) > 0


def test_patterns_of_parts_in_the_middle(model):
    model.freeze("*.LayerNorm")
    assert model.frozen == {name for name in model.params if ".LayerNorm." in name}


def test_the_prefix_of_a_model_with_a_head():
    model = BertForSequenceClassification(CONFIG, backend="numpy")
    model.freeze("bert")
    left = {name for name in model.params if name not in model.frozen}
    assert left == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("bert", r"no parameter of BertModel matches 'bert'$"),
        ("encoder.layers.3", r"matches 'encoder.layers.3' \(did you mean encoder.layer.3\?\)"),
        ("embedings", r"matches 'embedings' \(did you mean embeddings\?\)"),
        ("pooler.dense.wieght", r"\(did you mean pooler.dense.weight\?\)"),
        ("encoder.layer.12", r"\(did you mean encoder.layer.\d+\?\)"),
        ("", "matches ''"),
    ],
)
def test_what_matches_nothing(model, pattern, message):
    with pytest.raises(UsageError, match=message):
        model.freeze(pattern)
    assert not model.frozen

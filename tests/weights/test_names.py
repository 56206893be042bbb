"""The rename table, name by name."""

from __future__ import annotations

import pytest

from minidistil import BertConfig, BertModel, DistilBertConfig, DistilBertModel
from minidistil.model.families import names_of
from minidistil.weights.names import is_buffer, modern_name, resolve_name


@pytest.mark.parametrize(
    ("stored", "modern"),
    [
        ("bert.embeddings.LayerNorm.gamma", "bert.embeddings.LayerNorm.weight"),
        ("encoder.layer.0.output.LayerNorm.beta", "encoder.layer.0.output.LayerNorm.bias"),
        ("cls.predictions.transform.LayerNorm.beta", "cls.predictions.transform.LayerNorm.bias"),
        ("LayerNorm.gamma", "LayerNorm.weight"),
        (
            "distilbert.transformer.layer.1.sa_layer_norm.gamma",
            "distilbert.transformer.layer.1.sa_layer_norm.weight",
        ),
        ("vocab_layer_norm.beta", "vocab_layer_norm.bias"),
        ("layer_norm.gamma", "layer_norm.weight"),
        # Nothing but a layernorm's own: a gamma elsewhere is somebody's parameter.
        ("bert.gamma", "bert.gamma"),
        ("gamma", "gamma"),
        ("head.scale.gamma", "head.scale.gamma"),
        ("head.LayerNorm.gamma.weight", "head.LayerNorm.gamma.weight"),
        ("head.LayerNorm.gamma_extra", "head.LayerNorm.gamma_extra"),
        ("head.MyLayerNorm.gamma", "head.MyLayerNorm.gamma"),
        ("head.LayerNorm.inner.beta", "head.LayerNorm.inner.beta"),
        ("bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.weight"),
    ],
)
def test_gamma_and_beta_inside_layernorms_only(stored, modern):
    assert modern_name(stored) == modern


def test_prefix_may_be_on_either_side_or_both():
    stored = "encoder.layer.0.output.LayerNorm.gamma"
    ours = "encoder.layer.0.output.LayerNorm.weight"
    assert resolve_name(stored, {f"bert.{ours}"}, "bert") == f"bert.{ours}"
    assert resolve_name(f"bert.{stored}", {f"bert.{ours}"}, "bert") == f"bert.{ours}"
    assert resolve_name(f"bert.{stored}", {ours}, "bert") == ours
    assert resolve_name(stored, {ours}, "bert") == ours
    assert resolve_name(f"distilbert.{stored}", {ours}, "bert") == f"distilbert.{ours}"
    assert resolve_name("mine.gamma", {ours}, "bert") == "mine.gamma"


def test_buffers():
    assert is_buffer("embeddings.position_ids", "bert")
    assert is_buffer("distilbert.embeddings.position_ids", "distilbert")
    assert not is_buffer("bert.embeddings.position_embeddings.weight", "bert")


def test_parts():
    bert, distilbert = names_of(BertModel, BertConfig()), names_of(DistilBertModel, DistilBertConfig())
    assert bert.head_of("bert.pooler.dense.weight") == "pooler"
    assert bert.head_of("pooler.dense.weight") == "pooler"
    assert bert.head_of("cls.predictions.transform.dense.weight") == "cls.predictions"
    assert bert.head_of("cls.seq_relationship.bias") == "cls.seq_relationship"
    assert distilbert.head_of("pre_classifier.weight") == "pre_classifier"
    assert bert.head_of("classifier_extra.weight") is None
    assert bert.head_of("bert.encoder.layer.0.output.dense.weight") is None
    assert bert.in_encoder("bert.embeddings.word_embeddings.weight")
    assert distilbert.in_encoder("transformer.layer.0.ffn.lin1.weight")
    assert not bert.in_encoder("bert.pooler.dense.weight")

"""The rename table, name by name."""

from __future__ import annotations

import pytest

from minidistil.weights.names import head_of, in_encoder, is_buffer, modern_name, resolve_name


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
    assert head_of("bert.pooler.dense.weight", "bert") == "pooler"
    assert head_of("pooler.dense.weight", "bert") == "pooler"
    assert head_of("cls.predictions.transform.dense.weight", "bert") == "cls.predictions"
    assert head_of("cls.seq_relationship.bias", "bert") == "cls.seq_relationship"
    assert head_of("pre_classifier.weight", "distilbert") == "pre_classifier"
    assert head_of("classifier_extra.weight", "bert") is None
    assert head_of("bert.encoder.layer.0.output.dense.weight", "bert") is None
    assert in_encoder("bert.embeddings.word_embeddings.weight", "bert")
    assert in_encoder("transformer.layer.0.ffn.lin1.weight", "distilbert")
    assert not in_encoder("bert.pooler.dense.weight", "bert")

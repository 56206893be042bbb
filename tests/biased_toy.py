"""A BERT whose attention has a relative bias and whose positions begin at 2, without token types: an MPNet's
encoder under a BERT's names."""

from dataclasses import replace

import numpy as np

from minidistil import RobertaConfig
from minidistil.model.families import bert, roberta
from minidistil.model.model import Model
from minidistil.model.relative_bias import RelativeBias
from minidistil.ops.philox import normal

CONFIG = RobertaConfig(
    vocab_size=40,
    hidden_size=12,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=212,
    initializer_range=0.3,
)


def encoder(c, at):
    plain = bert.encoder(c, at)
    name, key = f"{at}encoder.relative_attention_bias.weight", "relative_attention_num_buckets"
    bias = RelativeBias(name, key, buckets=32, heads=c.num_attention_heads)
    return replace(plain, embeddings=replace(plain.embeddings, types=()), relative_bias=bias)


class BiasedModel(roberta.RobertaModel):
    build_encoder = staticmethod(encoder)


class BiasedForMultipleChoice(roberta.RobertaForMultipleChoice):
    """It has a pooler, and reads first tokens alone."""

    build_encoder = staticmethod(encoder)


def biased(kind: type[Model] = BiasedModel, backend="numpy", dtype="float64", seed=7, **changes):
    """A model whose gains and biases matter too."""
    model = kind(CONFIG.replace(**changes), backend=backend, dtype=dtype)
    for i, spec in enumerate(model.params.specs):
        gain = spec.role == "norm" and spec.name.endswith("weight")
        model.params[spec.name][...] = gain + 0.3 * normal(spec.shape, seed, i)
    return model


def table_of(model) -> np.ndarray:
    return model.params[model.encoder.relative_bias.name]

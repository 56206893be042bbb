"""Scores of heads, as pages show them."""

import numpy as np

from minidistil import Batch, ElectraForPreTraining
from minidistil.model.packed_model import get_backend
from minidistil.report.scores import scores_of
from minidistil.verify.model_cases import tiny_model


def test_a_discriminator_says_yes_or_no_of_each_token():
    """Each token has a probability of its own; they are no distribution over the tokens."""
    model = tiny_model("ElectraForPreTraining", get_backend("numpy"))
    assert isinstance(model, ElectraForPreTraining)
    outputs, _ = model.forward(Batch.from_sequences([[1, 4, 9]]))
    (found,) = scores_of(model, outputs, ["a", "b", "c"], [], [])
    np.testing.assert_allclose(found.probabilities(), 1 / (1 + np.exp(-outputs["logits"][None])), rtol=1e-12)
    assert (list(found.rows), list(found.classes)) == (["being replaced"], ["a", "b", "c"])

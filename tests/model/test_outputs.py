"""Outputs by name, by attribute and by index, in transformers' order."""

import copy
import pickle

import numpy as np
import pytest
from tiny import RANDOM

from minidistil.model import (
    BertForMaskedLM,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
    DistilBertModel,
)
from minidistil.model.families.distilbert import DistilBertConfig

IDS = np.array([[2, 7, 9, 3], [2, 5, 3, 3]])
TARGETS = {
    BertForSequenceClassification: {"labels": [0, 1]},
    BertForMaskedLM: {"labels": IDS},
    BertForQuestionAnswering: {"start_positions": [0, 1], "end_positions": [1, 1]},
    BertForPreTraining: {"labels": IDS, "next_sentence_label": [0, 1]},
}
NAMES = {
    BertForQuestionAnswering: ["start_logits", "end_logits"],
    BertForPreTraining: ["prediction_logits", "seq_relationship_logits"],
}


@pytest.mark.parametrize("kind", TARGETS)
def test_a_head_gives_its_loss_and_scores_first(kind):
    model = kind(RANDOM, backend="numpy")
    names = NAMES.get(kind, ["logits"])
    plain = model(IDS)
    assert [plain[i] is plain[name] for i, name in enumerate(names)] == [True] * len(names)
    assert len(plain.to_tuple()) == len(names)
    assert plain["last_hidden_state"].shape == (2, 4, 16)  # by name alone
    full = model(IDS, output_hidden_states=True, output_attentions=True, **TARGETS[kind])
    loss, *rest = full.to_tuple()
    assert loss == full.loss
    for value, name in zip(rest, [*names, "hidden_states", "attentions"], strict=True):
        assert value is getattr(full, name)
    assert full[-1] is full.attentions
    first, second = full[:2]
    assert (first, second is full[names[0]]) == (full.loss, True)


def test_an_encoder_gives_its_states_first():
    out = BertModel(RANDOM, backend="numpy")(IDS, output_hidden_states=True)
    assert out[0] is out.last_hidden_state
    assert out[1] is out.pooler_output
    assert out[2] is out.hidden_states
    sizes = {"vocab_size": 60, "hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    out = DistilBertModel(DistilBertConfig(**sizes, intermediate_size=8), backend="numpy")(IDS)
    assert out.to_tuple()[0] is out.last_hidden_state
    assert len(out.to_tuple()) == 1


def test_an_output_that_there_is_not():
    out = BertForSequenceClassification(RANDOM, backend="numpy")(IDS)
    with pytest.raises(IndexError):
        out[1]
    with pytest.raises(KeyError):
        out["loss"]
    with pytest.raises(AttributeError, match="no 'loss'; it has: "):
        out.loss  # noqa: B018


def test_copies_keep_the_order():
    out = BertForSequenceClassification(RANDOM, backend="numpy")(IDS)
    for other in (copy.copy(out), copy.deepcopy(out), pickle.loads(pickle.dumps(out))):
        np.testing.assert_array_equal(other[0], out.logits)
        assert len(other.to_tuple()) == 1

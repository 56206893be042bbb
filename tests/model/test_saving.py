"""What `save_pretrained` leaves in a directory."""

import json

import pytest
from tiny import CONFIG, LABELS, make_tokenizer

from minidistil.config import DistilBertConfig
from minidistil.model import BertForSequenceClassification, DistilBertModel


@pytest.fixture
def model():
    return BertForSequenceClassification(CONFIG.replace(id2label=LABELS))


def test_a_plain_card_without_one(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text()
    assert 'pipeline_tag: "text-classification"' in card
    assert "6 layers of width 24" in card


def test_a_card_that_is_there_stays(model, tmp_path):
    model.save_pretrained(tmp_path / "m", card="mine\n")
    model.save_pretrained(tmp_path / "m")
    assert (tmp_path / "m" / "README.md").read_text() == "mine\n"


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_the_tokenizer_says_whether_token_types_are_wanted(family, model, tmp_path):
    if family == "distilbert":
        model = DistilBertModel(DistilBertConfig(vocab_size=CONFIG.vocab_size, hidden_size=24))
    model.save_pretrained(tmp_path / "m", tokenizer=make_tokenizer(tmp_path / "t"))
    settings = json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())
    assert ("token_type_ids" in settings["model_input_names"]) == (family == "bert")

"""What `save_pretrained` leaves in a directory."""

import copy
import json

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_tokenizer

from minidistil import DistilBertConfig
from minidistil.errors import ConfigError, UsageError
from minidistil.model import BertForSequenceClassification, DistilBertModel
from minidistil.model.families import load_config


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


def test_the_config_says_what_the_file_holds(model, tmp_path):
    """Of a checkpoint in half precision it said so still, and others halved what had been learnt in full."""
    model.config = model.config.replace(extra={"torch_dtype": "float16", "dtype": "float16", "kept": 1})
    model.save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["dtype"], config["kept"], "torch_dtype" in config) == ("float32", 1, False)


def test_a_copy_is_of_its_own(model):
    other = copy.deepcopy(model)
    before = model.params.flat.copy()
    other.params["classifier.bias"][...] = 3
    assert (other.params.flat == 3).sum() == 2, "names are views into it"
    np.testing.assert_array_equal(model.params.flat, before)
    assert other.backend is model.backend
    loss, _ = other.loss_and_grads([[1, 2]], labels=[0])
    assert np.isfinite(loss)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_labels": None}, "num_labels must be an integer from 1 to 1000000, not None"),
        ({"num_labels": "x"}, "num_labels must be an integer from 1 to 1000000, not 'x'"),
        ({"architectures": "BertModel"}, "architectures must be a list"),
    ],
)
def test_a_config_of_others_that_cannot_be(model, tmp_path, change, message):
    model.save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    values = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("id2label", "label2id")}
    path.write_text(json.dumps(values | change))
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "m")


def test_fields_and_dtypes_that_are_not(model, tmp_path):
    model.save_pretrained(tmp_path / "m")
    with pytest.raises(ConfigError, match=r"has no field 'hiden_size' \(did you mean 'hidden_size'\?\)"):
        BertForSequenceClassification.from_pretrained(tmp_path / "m", hiden_size=3)
    new = BertForSequenceClassification.from_pretrained(tmp_path / "m", num_labels=3, ignore_mismatched=True)
    assert new.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert new.params["classifier.weight"].shape[0] == 3
    for dtype in ("float16", "bfloat16"):
        with pytest.raises(UsageError, match=f"dtype must be one of float32, float64, not '{dtype}'"):
            BertForSequenceClassification(CONFIG, dtype=dtype)
    with pytest.raises(ConfigError, match=r"qa_dropout must be a number in \[0, 1\)"):
        DistilBertConfig(vocab_size=9, hidden_size=24, qa_dropout=1.0)


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_gradients_of_outputs_may_lie_in_any_order(backend):
    model = BertForSequenceClassification(CONFIG.replace(id2label=LABELS), backend=backend)
    batch = model.pack([[1, 2, 3], [4, 5, 6]])
    _, cache = model.forward(batch)
    dout = np.array([[1, 2], [3, 4]], np.float32)
    wide = np.zeros((2, 4), np.float32)
    wide[:, ::2] = dout
    expected = model.params.like()
    model.backward({"logits": dout}, cache, expected)
    for other in (np.asfortranarray(dout), wide[:, ::2], dout.astype(">f4"), dout.astype(np.float64)):
        _, cache = model.forward(batch)
        grads = model.params.like()
        model.backward({"logits": other}, cache, grads)
        np.testing.assert_array_equal(grads.flat, expected.flat)

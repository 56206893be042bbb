"""Content of config.json: every field by its type and range, and named where it is wrong."""

import json
import math
from dataclasses import fields

import numpy as np
import pytest
from tiny import LABELS, make_classifier

from minidistil import BertConfig, DistilBertConfig
from minidistil.config_fields import CHECKS
from minidistil.errors import ConfigError, MemoryLimitError, WeightsError
from minidistil.model import BertModel, load_model
from minidistil.model.families import config_from_dict, load_config

WRONG = [None, "x", "", [], {}, [1], True, math.nan, math.inf, -math.inf, 1e308, -1, 10**5000]
OPTIONAL = {"pad_token_id", "problem_type", "classifier_dropout"}


@pytest.mark.parametrize("family", [BertConfig, DistilBertConfig])
@pytest.mark.parametrize("name", CHECKS)
def test_every_field_is_checked_and_named(family, name):
    key = family.key(name)
    if not hasattr(family(), name) or name in family.constants:
        return
    for value in WRONG:
        allowed = (
            (value is None and name in OPTIONAL)
            or (value is True and name in ("tie_word_embeddings", "sinusoidal_pos_embds"))
            or (value == -1 and name == "pad_token_id")
        )
        if allowed:
            family.from_dict({key: value})
            continue
        with pytest.raises(ConfigError, match=rf"^{key} must be ") as raised:
            family.from_dict({key: value})
        assert len(str(raised.value)) < 300


def test_every_field_of_a_family_has_a_check():
    others = {"id2label", "architectures", "extra"}
    for family in (BertConfig, DistilBertConfig):
        assert {field.name for field in fields(family)} - others <= set(CHECKS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"id2label": {"0": "a", "00": "b"}}, "each number once; it has '00'"),
        ({"id2label": {"0": None}}, "maps '0' to None"),
        ({"id2label": {"0": ["a"]}}, "maps '0' to"),
        ({"id2label": ["a", "b"]}, "id2label must map numbers to names, not"),
        ({"id2label": {"9" * 5000: "a"}}, "it has '9999"),
        ({"id2label": {"0": "a", "2": "b"}}, "without gaps"),
        ({"id2label": {}}, "without gaps"),
        ({"num_labels": 2**60}, "num_labels must be an integer from 1 to 1000000, not 1152921504606846976"),
        ({"num_labels": True}, "num_labels must be an integer from 1 to 1000000, not True"),
        ({"architectures": [{}]}, "architectures must be a list of names"),
        ({"architectures": "BertModel"}, "architectures must be a list of names"),
        ({"is_decoder": None}, "is_decoder None is not supported, only False"),
        (
            {"position_embedding_type": "relative_key"},
            "position_embedding_type 'relative_key' is not supported",
        ),
        (
            {"hidden_act": "silu"},
            "hidden_act must be one of gelu, gelu_new, gelu_pytorch_tanh, relu, not 'silu'",
        ),
        ({"hidden_size": 30}, "hidden_size 30 is not a multiple of num_attention_heads 12"),
    ],
)
def test_what_is_refused(values, message):
    with pytest.raises(ConfigError, match=f"here: .*{message}"):
        config_from_dict({"model_type": "bert", **values}, "here")


def test_null_where_transformers_takes_the_default():
    nulls = dict.fromkeys(["position_embedding_type", "id2label", "label2id", "architectures", *OPTIONAL])
    config = BertConfig.from_dict(nulls)
    assert config.replace(pad_token_id=0) == BertConfig(extra={"position_embedding_type": None})
    assert BertConfig.from_dict({"hidden_act": "gelu_python"}).hidden_act == "gelu"


@pytest.mark.parametrize("family", [None, 5, [], {}, "", "x"])
def test_a_family_that_is_none(family):
    with pytest.raises(
        ConfigError, match=r"model_type .* is not supported; supported: albert, bert, camembert"
    ):
        config_from_dict({"model_type": family})


def test_another_family_is_no_slip_of_the_pen():
    for known in ("longformer", "big_bird", "mobilebert", "deberta-v2"):
        with pytest.raises(
            ConfigError, match=f"'{known}' is another family of models, which is not supported; "
        ):
            config_from_dict({"model_type": known})
    for slip, meant in (("Bert", "bert"), ("distillbert", "distilbert"), ("distil-bert", "distilbert")):
        with pytest.raises(ConfigError, match=rf"'{slip}' is not supported \(did you mean '{meant}'\?\)"):
            config_from_dict({"model_type": slip})


def test_fields_by_keyword():
    with pytest.raises(
        ConfigError, match=r"BertConfig has no field 'hiden_size' \(did you mean 'hidden_size'\?\)"
    ):
        BertConfig(hiden_size=30)
    three = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert BertConfig(num_labels=3).id2label == three
    config = BertConfig(id2label=LABELS)
    assert config.replace(num_labels=3).id2label == three
    assert config.replace(num_labels=2).id2label == LABELS
    assert config.replace(hidden_size=24, num_attention_heads=2).id2label == LABELS


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"label2id": {"yes": 1, "no": 0}}, ["no", "yes"]),
        (
            {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}, "num_labels": 2},
            ["no", "yes"],
        ),
        ({"id2label": {0: "x"}, "num_labels": None, "label2id": None}, ["x"]),
        ({"num_labels": 1}, ["LABEL_0"]),
        ({"label2id": {"a": np.int64(0)}}, ["a"]),
    ],
)
def test_labels_are_named_from_any_side(labels, names):
    for config in (BertConfig(**labels), BertConfig(num_labels=5).replace(**labels)):
        assert config.label_names == names
        assert config.label2id == {name: i for i, name in enumerate(names)}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 1, "yes": 0}},
            "label2id .* does not fit id2label",
        ),
        ({"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0}}, "label2id .* does not fit id2label"),
        ({"id2label": {0: "no", 1: "yes"}, "num_labels": 3}, "num_labels is 3, .* names for 2 labels"),
        ({"label2id": {"no": 0}, "num_labels": 2}, "num_labels is 2, .* names for 1 labels"),
        ({"label2id": {"no": 0, "yes": 0}}, "a number of its own"),
        ({"label2id": {"no": 0, "yes": 2}}, "without gaps"),
        ({"label2id": {"no": "0"}}, "it maps .no. to .0."),
        ({"label2id": ["no"]}, "label2id must map names to numbers"),
        ({"num_labels": 0}, "num_labels must be an integer from 1"),
    ],
)
def test_labels_that_contradict_each_other(labels, message):
    for make in (BertConfig, BertConfig().replace):
        with pytest.raises(ConfigError, match=message):
            make(**labels)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return make_classifier(tmp_path_factory.mktemp("config"))


def edited(directory, **changes):
    path = directory / "config.json"
    before = path.read_text()
    path.write_text(json.dumps(json.loads(before) | changes))
    return before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_hidden_layers": 2**60}, ConfigError, "num_hidden_layers must be an integer from 0 to 10000"),
        (
            {"num_hidden_layers": 9999},
            WeightsError,
            "the file has 6 encoder layers .*, the config asks for 9999",
        ),
        ({"vocab_size": 2**40}, ConfigError, "vocab_size must be an integer from 1 to 2147483647"),
        (
            {"vocab_size": 2**31 - 1},
            WeightsError,
            r"has shape \[23, 24\], but the config calls for \[2147483647, ",
        ),
        ({"hidden_size": 2**30}, WeightsError, "has shape .*, but the config calls for"),
        ({"intermediate_size": 2**31 - 1}, WeightsError, "has shape .*, but the config calls for"),
        ({"type_vocab_size": 2**31 - 1}, WeightsError, "has shape .*, but the config calls for"),
    ],
)
def test_what_a_config_asks_for_is_compared_with_the_file_before_memory_is_taken(
    classifier, changes, error, message
):
    before = edited(classifier, **changes)
    try:
        for mapped in (False, True):
            with pytest.raises(error, match=message):
                load_model(classifier, mapped=mapped)
    finally:
        (classifier / "config.json").write_text(before)


def test_a_new_model_that_no_memory_holds():
    with pytest.raises(MemoryLimitError, match="parameters take"):
        BertModel(
            BertConfig(vocab_size=2**31 - 1, hidden_size=2**20, num_attention_heads=1, num_hidden_layers=0)
        )


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"vocab_size": ' + b"1" * 5000 + b"}", b"[]", b"\xff"])
def test_a_file_that_is_no_config(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.json"):
        load_config(tmp_path)


def test_a_link_in_a_loop(tmp_path):
    (tmp_path / "config.json").symlink_to("config.json")
    with pytest.raises(ConfigError, match=r"cannot read .*config\.json"):
        load_config(tmp_path)


def test_numbers_of_a_model_are_as_they_were(classifier):
    assert load_config(classifier).id2label == LABELS
    assert np.isfinite(load_model(classifier)([[2, 7, 3]]).logits).all()

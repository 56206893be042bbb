"""Auto classes, configs of directories, and what else has transformers' names on a model."""

import numpy as np
import pytest
from tiny import CONFIG, LABELS, make_classifier, make_encoder

import minidistil
from minidistil import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForNextSentencePrediction,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    Tokenizer,
)
from minidistil.errors import ConfigError, UsageError
from minidistil.model.families import FAMILIES, public


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("auto")
    make_classifier(directory)
    make_encoder(directory)
    sizes = {"vocab_size": 9, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = DistilBertConfig(**sizes, intermediate_size=4)
    DistilBertModel(config, backend="numpy").save_pretrained(directory / "distilbert")
    return directory


def test_the_family_decides(place):
    assert type(AutoModel.from_pretrained(place / "encoder")) is BertModel
    assert type(AutoModel.from_pretrained(place / "distilbert")) is DistilBertModel
    model = AutoModelForSequenceClassification.from_pretrained(place / "classifier")
    assert type(model) is BertForSequenceClassification
    assert isinstance(AutoTokenizer.from_pretrained(place / "classifier"), Tokenizer)
    assert AutoConfig.from_pretrained(place / "classifier") == model.config
    assert type(AutoConfig.from_pretrained(place / "distilbert")) is DistilBertConfig
    new = AutoModelForMaskedLM.from_config(CONFIG, backend="numpy", seed=3)
    assert type(new) is BertForMaskedLM
    with pytest.raises(ConfigError, match="'DistilBertForNextSentencePrediction' is not supported"):
        AutoModelForNextSentencePrediction.from_pretrained(place / "distilbert")
    for kind in (AutoModel, AutoConfig):
        with pytest.raises(UsageError, match="call its from_pretrained"):
            kind()


def test_every_auto_class_has_a_class_of_bert():
    names = [name for name in minidistil.__all__ if name.startswith("AutoModel")]
    assert len(names) == 8
    for name in names:
        assert public("Bert" + getattr(minidistil, name).head) is not None


def test_options_of_loading(place):
    load = AutoModelForSequenceClassification.from_pretrained
    path = place / "classifier"
    named = load(path, num_labels=2, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1})
    assert named.config.label_names == ["no", "yes"]
    assert load(path, label2id={"yes": 1, "no": 0}).config.id2label == {0: "no", 1: "yes"}
    assert load(path, num_labels=3, ignore_mismatched_sizes=True).config.num_labels == 3
    assert load(path, hidden_dropout_prob=0.3).config.hidden_dropout_prob == 0.3
    config = AutoConfig.from_pretrained(path, hidden_dropout_prob=0.2)
    assert load(path, config=config).config.hidden_dropout_prob == 0.2
    assert load(path, config=config, attention_probs_dropout_prob=0.0).config.hidden_dropout_prob == 0.2
    with pytest.raises(ConfigError, match="has no field 'device_map'"):
        load(path, device_map="auto")


def test_configs_are_read_and_written(place, tmp_path):
    config = BertConfig.from_pretrained(place / "classifier", num_labels=3)
    assert config.label_names == ["LABEL_0", "LABEL_1", "LABEL_2"]
    assert BertConfig.from_pretrained(place / "classifier").id2label == LABELS
    config.save_pretrained(tmp_path / "new")
    assert BertConfig.from_pretrained(tmp_path / "new") == config
    with pytest.raises(ConfigError, match="holds a DistilBertConfig, which is no BertConfig: say AutoConfig"):
        BertConfig.from_pretrained(place / "distilbert")


@pytest.mark.parametrize("family", FAMILIES.values())
def test_a_config_says_how_another_is_made(family):
    config = public(f"{family}Config")()
    before = config.hidden_dropout_prob
    for error in (ConfigError, AttributeError):
        with pytest.raises(error, match=r"config.replace\(hidden_dropout_prob=0.3\).*model.config = "):
            config.hidden_dropout_prob = 0.3
    assert config.hidden_dropout_prob == before
    assert config.replace(hidden_dropout_prob=0.3).hidden_dropout_prob == 0.3


def test_parameters_by_transformers_names():
    model = BertForMaskedLM(CONFIG, backend="numpy", seed=1)
    state, names = model.state_dict(), [name for name, _ in model.named_parameters()]
    assert names == list(model.params)
    assert set(state) - set(names) == {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    word = model.params["bert.embeddings.word_embeddings.weight"]
    assert np.shares_memory(state["cls.predictions.decoder.weight"], word)
    count = sum(p.size for p in model.parameters())
    assert model.num_parameters() == count == model.params.num_parameters
    model.freeze("bert.embeddings.*")
    frozen = sum(model.params[name].size for name in model.frozen)
    assert model.num_parameters(only_trainable=True) == count - frozen < count


def test_there_is_one_device():
    model = BertModel(CONFIG, backend="numpy")
    assert model.device == "cpu"
    assert model.to(model.device) is model
    with pytest.raises(UsageError, match="there is no device 'cuda:0'"):
        model.to("cuda:0")

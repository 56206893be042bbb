"""Directories of sentence-transformers: each form of each file is followed, and what is wrong in it is named.

Vectors are compared with definitions in NumPy; tests/parity compares them with sentence-transformers itself.
"""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from embeddings_toy import write
from tiny import CONFIG, make_encoder

from minidistil.embeddings.directory import read_settings, write_settings
from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.embeddings.layers import Dense, LayerNorm, Normalize
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.errors import ConfigError, InputError, UsageError, WeightsError
from minidistil.model import BertModel, load_model
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.safetensors_file import write_safetensors

OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    "LayerNorm": "sentence_transformers.sentence_transformer.modules.layer_norm.LayerNorm",
}
TEXTS = ["the warm film", "", "a dull plot with the tired cast"]


def modules(*kinds, new=False, folders=True):
    return [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i and folders else "",
            "type": NEW[kind] if new else OLD + kind,
        }
        for i, kind in enumerate(kinds)
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("made"))


@pytest.fixture
def place(made, tmp_path):
    """An encoder, to write files beside."""
    return Path(shutil.copytree(made, tmp_path / "encoder"))


@pytest.fixture(scope="module")
def bare(made):
    """The hidden states of a text."""
    model, tokenizer = load_model(made).eval(), Tokenizer.from_pretrained(made)

    def states(text):
        return model(tokenizer.encode([text]).input_ids[0][None]).last_hidden_state[0]

    return states


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": ["mean", "cls"]}, "mean+cls"),
        ({"pooling_mode": "max", "pooling_mode_mean_tokens": True}, "max"),
        ({"pooling_mode_mean_tokens": False}, "mean"),
        ({}, "mean"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_cls_token": False}, "lasttoken"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "cls+mean"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
    ],
)
def test_both_forms_of_pooling(place, pooling, expected, new):
    write(place, modules=modules("Transformer", "Pooling", new=new))
    write(place, **{"1_Pooling__config": {"word_embedding_dimension": 24, **pooling}})
    assert read_settings(place) == EmbeddingSettings(expected, False, None)
    assert SentenceEncoder.from_pretrained(place).encode(TEXTS).shape == (3, 24 * len(expected.split("+")))


def dense(place, folder, width, out, **config):
    rng = np.random.default_rng(out)
    parts = {"linear.weight": rng.standard_normal((out, width)), "linear.bias": rng.standard_normal(out)}
    if config.get("bias") is False:
        del parts["linear.bias"]
    if config.get("use_residual") and width != out:
        parts["residual.weight"] = rng.standard_normal((out, width))
    parts = {name: part.astype(np.float32) for name, part in parts.items()}
    write(place, **{f"{folder}__config": {"in_features": width, "out_features": out, **config}})
    write_safetensors(place / folder / "model.safetensors", parts)
    return parts


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_steps_in_their_order(place, bare, backend):
    """Normalize before Dense is another vector than after it; a layer norm, a bias, a residual by hand."""
    write(
        place, modules=modules("Transformer", "Pooling", "Normalize", "Dense", "LayerNorm", "Dense", new=True)
    )
    write(place, **{"1_Pooling__config": {"pooling_mode": "mean"}})
    gelu = "torch.nn.modules.activation.GELU"
    one = dense(place, "3_Dense", 24, 6, activation_function=gelu, bias=False)
    two = dense(place, "5_Dense", 6, 4, use_residual=True)
    norm = {"norm.weight": np.arange(6, dtype=np.float32), "norm.bias": np.ones(6, np.float32)}
    write(place, **{"4_LayerNorm__config": {"dimension": 6}})
    write_safetensors(place / "4_LayerNorm" / "model.safetensors", norm)
    encoder = SentenceEncoder.from_pretrained(place, backend=backend)
    assert encoder.width == 4
    for text, vector in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        x = bare(text).mean(0).astype(np.float64)
        x = one["linear.weight"] @ (x / np.linalg.norm(x))
        x = np.array([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x])
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5) * norm["norm.weight"] + 1
        x = np.tanh(two["linear.weight"] @ x + two["linear.bias"]) + two["residual.weight"] @ x
        np.testing.assert_allclose(vector, x, atol=2e-5)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    if backend == "numba":
        np.testing.assert_array_equal(encoder.encode(TEXTS), alone)
    encoder.save(place.parent / "saved")
    again = SentenceEncoder.from_pretrained(place.parent / "saved", backend=backend)
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))


def test_the_encoder_lies_where_modules_says(place, bare):
    write(place, modules=[{**m, "path": "a/0_Transformer" if not i else "p"} for i, m in
                          enumerate(modules("Transformer", "Pooling"))])  # fmt: skip
    write(place, p__config={"pooling_mode_cls_token": True})
    write(place, sentence_distilbert_config={"max_seq_length": 7})
    (place / "a" / "0_Transformer").mkdir(parents=True)
    for path in [p for p in place.iterdir() if p.is_file() and p.name != "modules.json"]:
        path.rename(place / "a" / "0_Transformer" / path.name)
    encoder = SentenceEncoder.from_pretrained(place)
    assert encoder.settings.max_length == 7
    np.testing.assert_allclose(encoder(TEXTS[0]), bare(TEXTS[0])[0], atol=1e-6)
    assert load_model(place).config.hidden_size == Tokenizer.from_pretrained(place).vocab_size + 1 == 24


@pytest.mark.parametrize(
    "kind", ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
)
def test_names_of_the_length_file(place, kind):
    (place / f"sentence_{kind}_config.json").write_text('{"max_seq_length": 9, "do_lower_case": false}')
    assert SentenceEncoder.from_pretrained(place).settings.max_length == 9


@pytest.mark.parametrize(
    ("stored", "limit", "asked", "expected"),
    [
        (9, 5, None, 9),  # the directory goes before the tokenizer,
        (None, 5, None, 5),
        (None, 5, 20, 20),  # what is asked for before both,
        (9, 5, 20, 20),
        (999, None, None, 24),  # and no text is longer than the positions
        (None, 999, None, 24),
        (9, 5, 999, 24),
    ],
)
def test_where_texts_are_cut(place, stored, limit, asked, expected):
    write(place, sentence_bert_config={"max_seq_length": stored})
    write(place, tokenizer_config={"model_max_length": limit or 10**30})
    options = {} if asked is None else {"max_length": asked}
    assert SentenceEncoder.from_pretrained(place, **options).settings.max_length == expected


def test_texts_are_lowered_first(place):
    """Before a cased tokenizer, and special tokens stay; what is saved keeps both."""
    write(place, tokenizer_config={"do_lower_case": False}, sentence_bert_config={"do_lower_case": True})
    lowered = SentenceEncoder.from_pretrained(place)
    cased = SentenceEncoder.from_pretrained(place, lower_case=False)
    np.testing.assert_array_equal(lowered("The WARM [MASK] Film"), cased("the warm [MASK] film"))
    assert np.abs(lowered("The WARM film") - cased("The WARM film")).max() > 0.01
    lowered.save(place.parent / "saved")
    again = SentenceEncoder.from_pretrained(place.parent / "saved")
    np.testing.assert_array_equal(again("The WARM film"), lowered("The WARM film"))
    assert again.tokenizer.encode(["The"]).input_ids[0].tolist() == [2, 1, 3], "the tokenizer is cased still"


PROMPTS = {"query": "the film is ", "passage": "a plot "}


def test_prompts(place, bare):
    write(place, config_sentence_transformers={"prompts": PROMPTS, "default_prompt_name": "query"})
    encoder, plain = SentenceEncoder.from_pretrained(place), SentenceEncoder.from_pretrained(place, prompt="")
    for how, before in [
        ({}, "the film is "),
        ({"prompt_name": "passage"}, "a plot "),
        ({"prompt": "dull "}, "dull "),
        ({"prompt": ""}, ""),
    ]:
        expected = plain.encode([before + text for text in TEXTS])
        np.testing.assert_array_equal(encoder.encode(TEXTS, **how), expected)
        np.testing.assert_array_equal(SentenceEncoder.from_pretrained(place, **how).encode(TEXTS), expected)
    with pytest.raises(UsageError, match="no prompt 'passages'; this encoder's prompts: 'query', 'passage'"):
        encoder.encode(TEXTS, prompt_name="passages")
    with pytest.raises(UsageError, match="not by both"):
        encoder.encode(TEXTS, prompt="a", prompt_name="query")
    with pytest.raises(InputError, match=r"texts\[1\] is not a string"):
        encoder.encode(["a", None])
    write(place, config_sentence_transformers={"default_prompt_name": "document"})
    np.testing.assert_array_equal(SentenceEncoder.from_pretrained(place).encode(TEXTS), plain.encode(TEXTS))
    write(place, config_sentence_transformers={"prompts": PROMPTS, "default_prompt_name": "query"})
    named = SentenceEncoder.from_pretrained(place, prompt="dull ")
    named.save(place.parent / "saved")
    again = read_settings(place.parent / "saved")
    assert again.prompt() == "dull "
    assert again.prompt(name="passage") == "a plot "


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "weightedmean", "lasttoken"])
def test_prompts_that_are_not_pooled(place, bare, mode):
    write(place, modules=modules("Transformer", "Pooling"))
    write(place, **{"1_Pooling__config": {"pooling_mode": mode, "include_prompt": False}})
    write(place, config_sentence_transformers={"prompts": PROMPTS, "default_prompt_name": "query"})
    encoder = SentenceEncoder.from_pretrained(place)
    for text, vector in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        x = bare("the film is " + text)[4:]  # after [CLS] the film is
        weights = np.arange(5, 5 + len(x))
        expected = {
            "mean": x.mean(0), "cls": x[0], "max": x.max(0), "lasttoken": x[-1],
            "weightedmean": weights @ x / weights.sum(),
        }[mode]  # fmt: skip
        np.testing.assert_allclose(vector, expected, atol=1e-6)
    np.testing.assert_allclose(
        encoder.encode(TEXTS, prompt=""),
        SentenceEncoder.from_pretrained(place, include_prompt=True, prompt="").encode(TEXTS),
        atol=1e-6,
    )


def test_everything_is_saved_again(place, tmp_path):
    rng = np.random.default_rng(0)
    layers = (
        Normalize(),
        Dense(
            rng.standard_normal((5, 48), np.float32),
            None,
            "GELU",
            True,
            rng.standard_normal((5, 48), np.float32),
        ),
        LayerNorm(np.ones(5, np.float32), np.zeros(5, np.float32)),
        Dense(rng.standard_normal((5, 5), np.float32), np.ones(5, np.float32), "Identity", True),
    )
    embedding = EmbeddingSettings(
        "mean+cls", True, 11, layers, 3, True, False, {"q": "the ", "p": ""}, "q", "euclidean"
    )
    encoder = SentenceEncoder(BertModel(CONFIG, seed=1), Tokenizer.from_pretrained(place), embedding)
    encoder.save(tmp_path / "new")
    again = SentenceEncoder.from_pretrained(tmp_path / "new")
    assert again.settings._replace(layers=()) == embedding._replace(layers=())
    np.testing.assert_array_equal(again.encode(TEXTS), encoder.encode(TEXTS))
    assert again.encode(TEXTS).shape == (3, again.width) == (3, 3)
    files = sorted(str(p.relative_to(tmp_path / "new")) for p in (tmp_path / "new").glob("[0-9]*/*"))
    assert files == [
        "1_Pooling/config.json",
        *("3_Dense/config.json", "3_Dense/model.safetensors"),
        *("4_LayerNorm/config.json", "4_LayerNorm/model.safetensors"),
        *("5_Dense/config.json", "5_Dense/model.safetensors"),
    ]


@pytest.mark.parametrize(
    ("file", "value", "message"),
    [
        ("modules", "[", "not JSON"),
        ("modules", {}, "must hold an array"),
        ("modules", [1], 'entry 0 must be an object with "type"'),
        ("modules", [{"type": 5, "path": ""}], 'entry 0 must be an object with "type"'),
        ("modules", [{"type": OLD + "Transformer", "path": "../enc"}], '"path" of entry 0'),
        ("modules", [{"type": OLD + "Transformer", "path": "/etc"}], '"path" of entry 0'),
        ("modules", [{"type": OLD + "Transformer", "path": "a\\..\\.."}], '"path" of entry 0'),
        ("modules", [{"type": OLD + "Transformer", "path": None}], '"path" of entry 0'),
        ("modules", [{"type": OLD + "Transformer", "path": "é" * 200}], '"path" of entry 0'),
        ("modules", modules("Transformer"), "steps Transformer are not supported"),
        ("modules", modules("WordEmbeddings", "Pooling"), "steps WordEmbeddings, Pooling are"),
        ("modules", modules("Transformer", "Pooling", "CNN"), "Pooling, CNN are not supported"),
        ("modules", [{"type": "custom.Transformer", "path": ""}], "custom.Transformer are not supported"),
        ("1_Pooling__config", {"pooling_mode": "median"}, "pooling_mode is"),
        ("1_Pooling__config", {"pooling_mode": []}, "pooling_mode is"),
        ("1_Pooling__config", {"pooling_mode": [["mean"]]}, "pooling_mode is"),
        ("1_Pooling__config", {"pooling_mode_cls_token": "yes"}, "pooling_mode_cls_token is 'yes'"),
        ("1_Pooling__config", {"pooling_mode_median": True}, "pooling_mode_median is not supported"),
        ("1_Pooling__config", {"include_prompt": 0}, "include_prompt is 0: true or false"),
        ("2_Dense__config", {"in_features": 24}, "out_features is None"),
        ("2_Dense__config", {"in_features": 8, "out_features": 4}, "in_features is 8: .* have 24"),
        (
            "2_Dense__config",
            {"in_features": 24, "out_features": 5},
            r"'linear.weight' is \[4, 24\]: \[5, 24\]",
        ),
        (
            "2_Dense__config",
            {"in_features": 24, "out_features": 4, "activation_function": "os.system"},
            "activation 'os.system'",
        ),
        (
            "2_Dense__config",
            {
                "in_features": 24,
                "out_features": 4,
                "activation_function": "torch.nn.modules.activation.PReLU",
            },
            "PReLU' is not supported",
        ),
        ("2_Dense__config", {"module_input_name": "token_embeddings"}, "module_input_name is"),
        ("sentence_bert_config", [], "must hold an object"),
        ("sentence_bert_config", {"max_seq_length": True}, "max_seq_length is True"),
        ("sentence_bert_config", {"max_seq_length": 2}, "max_seq_length is 2: at least 3"),
        ("sentence_bert_config", {"do_lower_case": "no"}, "do_lower_case is 'no'"),
        ("sentence_bert_config", {"transformer_task": "fill-mask"}, "transformer_task is"),
        (
            "sentence_bert_config",
            {"tokenizer_args": {"do_lower_case": True}},
            "do_lower_case for the tokenizer",
        ),
        (
            "sentence_bert_config",
            {"modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}}},
            "modality_config",
        ),
        ("config_sentence_transformers", {"prompts": ["a"]}, r"prompts is \['a'\]: an object"),
        ("config_sentence_transformers", {"prompts": {"a": 3}}, "a is 3: text"),
        ("config_sentence_transformers", {"default_prompt_name": "a"}, "none of its prompts: it has none"),
        ("config_sentence_transformers", {"similarity_fn_name": "maxsim"}, "similarity_fn_name is 'maxsim'"),
        ("config_sentence_transformers", {"truncate_dim": -1}, "truncate_dim is -1"),
        ("config_sentence_transformers", {"model_type": "SparseEncoder"}, "model_type is 'SparseEncoder'"),
    ],
)
def test_what_is_wrong_is_named(place, file, value, message):
    write(place, modules=modules("Transformer", "Pooling", "Dense"))
    write(place, **{"1_Pooling__config": {"pooling_mode": "mean"}})
    dense(place, "2_Dense", 24, 4)
    assert read_settings(place).width(24) == 4
    write(place, **{file: value})
    named = file.replace("__", "/") + ".json" if "linear" not in message else "2_Dense/model.safetensors"
    with pytest.raises((ConfigError, WeightsError), match=message) as error:
        SentenceEncoder.from_pretrained(place)
    assert named in str(error.value)


def test_layers_that_are_damaged(place):
    """No warnings of NumPy's, and no vectors."""
    write(place, modules=modules("Transformer", "Pooling", "LayerNorm", "Normalize"))
    write(place, **{"1_Pooling__config": {}})
    parts = {"norm.weight": np.full(24, np.inf, np.float32), "norm.bias": np.ones(24, np.float32)}
    (place / "2_LayerNorm").mkdir()
    write_safetensors(place / "2_LayerNorm" / "model.safetensors", parts)
    with pytest.raises(InputError, match="hold a NaN or an Inf: its weights are damaged"):
        SentenceEncoder.from_pretrained(place).encode(TEXTS)


def test_pickled_weights_are_refused(place):
    write(place, modules=modules("Transformer", "Pooling", "Dense"))
    write(place, **{"1_Pooling__config": {}})
    dense(place, "2_Dense", 24, 4)
    (place / "2_Dense" / "model.safetensors").rename(place / "2_Dense" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"only pytorch_model.bin. Loading a pickle can run any code"):
        SentenceEncoder.from_pretrained(place)
    (place / "2_Dense" / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsError, match=r"2_Dense.model.safetensors"):
        SentenceEncoder.from_pretrained(place)


def test_a_cross_encoder_lends_its_encoder(place):
    """What its files say is about scores of pairs."""
    write(place, modules=modules("Transformer"))
    write(place, config_sentence_transformers={"model_type": "CrossEncoder", "default_prompt_name": "x"})
    assert read_settings(place) == EmbeddingSettings()


def test_files_of_every_version_can_be_written_over(place):
    write_settings(place, EmbeddingSettings("mean+cls"), 24)
    assert json.loads((place / "1_Pooling" / "config.json").read_text())["pooling_mode"] == ["mean", "cls"]
    write_settings(place, EmbeddingSettings("cls+mean", max_length=4), 24)
    config = json.loads((place / "1_Pooling" / "config.json").read_text())
    assert "pooling_mode" not in config
    assert [key for key, value in config.items() if value is True] == [
        "pooling_mode_cls_token", "pooling_mode_mean_tokens",
    ]  # fmt: skip
    assert read_settings(place) == EmbeddingSettings("cls+mean", max_length=4)


def test_a_length_that_is_none(tmp_path):
    write_settings(tmp_path, EmbeddingSettings(max_length=8), 24)
    for bad in ("8", 8.5, True):
        (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": bad}))
        with pytest.raises(ConfigError, match="max_seq_length is"):
            read_settings(tmp_path)

"""A tokenizer beside a model of its own family, and of another one."""

from __future__ import annotations

import pytest
from window_toy import make_other, make_tokenizer

from minidistil import BertConfig
from minidistil.errors import ConfigError
from minidistil.model.families.roberta import RobertaConfig
from minidistil.text.model_fit import fit_tokenizer

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
BPE, UNIGRAM, WORDPIECE = make_other("trimmed"), make_other("unigram"), make_tokenizer()


def roberta(rows, **more):
    extra = {"bos_token_id": 0, "eos_token_id": 2, **more}
    return RobertaConfig(vocab_size=rows, type_vocab_size=1, extra=extra, **SIZES)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("tokenizer", "config"),
    [
        (BPE, roberta(BPE.num_ids)),
        (BPE, roberta(BPE.num_ids + 1000)),
        (WORDPIECE, BertConfig(vocab_size=WORDPIECE.num_ids + 1000, **SIZES)),
        (BPE, BertConfig(vocab_size=BPE.num_ids, **SIZES)),  # a BERT with a tokenizer of its own
        (BPE, BertConfig(vocab_size=BPE.num_ids + 92, **SIZES)),  # and rows rounded up
        (WORDPIECE, roberta(WORDPIECE.num_ids)),
        (WORDPIECE, roberta(WORDPIECE.num_ids + 3, bos_token_id=2, eos_token_id=3)),
    ],
)  # fmt: skip
def test_its_own(tokenizer, config, training):
    found = fit_tokenizer(tokenizer, config, "m", training=training)
    assert found.num_ids == tokenizer.num_ids
    assert found.takes_token_types == (tokenizer.takes_token_types and config.model_type == "bert")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("tokenizer", "config", "says"),
    [
        (WORDPIECE, roberta(50265), "WordPiece with .* ids for a table of 50265 rows, where roberta"),
        (UNIGRAM, roberta(50265), "Unigram with .*, where roberta has byte-level BPE"),
        (BPE, BertConfig(**SIZES), "byte-level BPE with .*, where bert has WordPiece"),
        (WORDPIECE, roberta(WORDPIECE.num_ids + 5), "pad_token has id 0 and not 1, cls_token has id 2 and"),
    ],
)  # fmt: skip
def test_of_another_family(tokenizer, config, says, training):
    with pytest.raises(ConfigError, match=says) as caught:
        fit_tokenizer(tokenizer, config, "runs/m", training=training)
    assert str(caught.value).startswith("runs/m: the tokenizer is of another family")


def test_more_tokens_than_rows_are_named_before_training():
    with pytest.raises(ConfigError, match=r"m: its tokenizer has .* rows: there is none for "):
        fit_tokenizer(BPE, BertConfig(vocab_size=300, **SIZES), "m", training=True)


def test_a_model_with_one_token_type_is_fed_that():
    tokenizer = make_tokenizer()
    assert tokenizer.encode(["a"], ["b"]).token_type_ids[0].tolist() == [0, 0, 0, 1, 1]
    fitted = fit_tokenizer(tokenizer, roberta(tokenizer.num_ids))
    assert fitted.encode(["a"], ["b"]).token_type_ids[0].tolist() == [0] * 5
    assert fitted.model_input_names == ["input_ids", "attention_mask"]
    assert "token_type_ids" not in fitted("a", "b")
    assert fitted.frames[True].types == (0,) * 5
    assert tokenizer.takes_token_types
    assert fit_tokenizer(fitted, roberta(tokenizer.num_ids)) is fitted

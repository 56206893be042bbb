"""Tokens by name and by number, special tokens, and text of ids."""

import numpy as np
import pytest
from call_toy import CLS, FILM, IDS, MASK, PAD, SEP, THE, UNK, VOCAB, make_by_hand


@pytest.fixture
def tokenizer(tmp_path):
    return make_by_hand(tmp_path / "bert")


def test_tokens_by_name_and_number(tokenizer):
    assert tokenizer.tokenize("Films, good") == ["film", "##s", "[UNK]", "go", "##od"]
    assert tokenizer.tokenize("the", "film", add_special_tokens=True) == [
        "[CLS]",
        "the",
        "[SEP]",
        "film",
        "[SEP]",
    ]
    assert tokenizer.convert_tokens_to_ids("film") == FILM
    assert tokenizer.convert_tokens_to_ids(["film", "book", "[SEP]"]) == [FILM, UNK, SEP]
    assert tokenizer.convert_ids_to_tokens(FILM) == "film"
    assert tokenizer.convert_ids_to_tokens(np.array(IDS[:3])) == ["[CLS]", "the", "film"]
    assert tokenizer.convert_ids_to_tokens(IDS[:3], skip_special_tokens=True) == ["the", "film"]
    assert tokenizer.convert_ids_to_tokens([999]) == [None]
    assert tokenizer.convert_tokens_to_string(["go", "##od", "!"]) == "good!"
    assert tokenizer.decode([IDS, [CLS, THE]]) == ["the films was good!", "the"]
    assert (
        tokenizer.decode(np.array([IDS, IDS]), skip_special_tokens=False)
        == ["[CLS] the films was good! [SEP]"] * 2
    )
    assert tokenizer.batch_decode([IDS, [CLS, THE]]) == ["the films was good!", "the"]
    assert tokenizer.batch_decode([]) == []
    assert tokenizer.decode([]) == ""
    assert len(tokenizer) == tokenizer.vocab_size == len(tokenizer.get_vocab()) == len(VOCAB)
    assert tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert tokenizer.all_special_ids == [UNK, SEP, PAD, CLS, MASK]
    assert (tokenizer.cls_token, tokenizer.mask_token) == ("[CLS]", "[MASK]")
    assert tokenizer.special_tokens_map["sep_token"] == "[SEP]"
    assert [tokenizer.num_special_tokens_to_add(pair) for pair in (False, True)] == [2, 3]
    assert tokenizer.is_fast

"""The mapping that a call of the tokenizer gives, and the tokens behind it."""

import copy
import pickle

import pytest
from call_toy import TEXT, make_by_hand

from minidistil.errors import UsageError
from minidistil.text.batch_encoding import BatchEncoding, CharSpan, TokenSpan


@pytest.fixture
def tokenizer(tmp_path):
    return make_by_hand(tmp_path / "bert")


def test_tokens_and_characters(tokenizer):
    found = tokenizer([TEXT, "é the"], ["", "the films"])
    assert found.tokens() == ["[CLS]", "the", "film", "##s", "was", "go", "##od", "!", "[SEP]", "[SEP]"]
    assert found.word_ids(0)[:5] == [None, 0, 1, 1, 2]
    assert [found.token_to_chars(0, t) for t in (0, 1, 3)] == [None, CharSpan(0, 3), CharSpan(8, 9)]
    assert found.token_to_chars(2) == (4, 8)
    assert [found.char_to_token(c) for c in (0, 3, 4, 8, 99)] == [1, None, 2, 3, None]
    assert found.char_to_token(1, 0) == 1
    assert found.char_to_token(1, 8, sequence_index=1) == 6
    assert found[0].ids == found.input_ids[0]
    assert [found.token_to_sequence(1, t) for t in (0, 1, 4)] == [None, 0, 1]
    assert [found.token_to_word(t) for t in (0, 2, 3)] == [None, 1, 1]
    assert [found.word_to_tokens(w) for w in (0, 1, 9)] == [(1, 2), TokenSpan(2, 4), None]
    assert found.word_to_tokens(1, 1, 1) == (5, 7)
    assert [found.word_to_chars(w) for w in (1, 9)] == [CharSpan(4, 9), None]
    assert found.word_to_chars(1, 1, sequence_index=1) == (4, 9)
    assert [found.char_to_word(c) for c in (5, 8, 3)] == [1, 1, None]
    assert found.char_to_word(1, 0, 1) == 0


def test_a_batch_encoding_is_a_mapping(tokenizer):
    found = tokenizer(["the"], padding=True)
    assert {**found} == dict(found)
    found["labels"] = [1]
    assert found.pop("labels") == [1]
    assert "labels" not in found
    assert found.to("cpu") is found
    for other in (copy.copy(found), copy.deepcopy(found), pickle.loads(pickle.dumps(found))):
        assert dict(other) == dict(found)
        assert other.tokens() == found.tokens()
    assert "input_ids" in dir(found)
    with pytest.raises(AttributeError, match="no 'input_id' \\(did you mean input_ids\\?\\)"):
        found.input_id  # noqa: B018
    with pytest.raises(UsageError, match="only what a call of the tokenizer gives"):
        BatchEncoding({"input_ids": [[1]]}).tokens()
    with pytest.raises(UsageError, match="no device 'cuda'"):
        found.to("cuda")

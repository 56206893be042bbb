"""Settings of a sentence encoder: values that cannot be, widths, prompts."""

import pytest
from tiny import make_encoder

from minidistil.embeddings import EmbeddingSettings, SentenceEncoder
from minidistil.errors import UsageError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_encoder(tmp_path_factory.mktemp("made"))


def test_width():
    """Two poolings of 24 numbers are 48, of which 10 are kept."""
    assert EmbeddingSettings("cls+mean").width(24) == 48
    assert EmbeddingSettings("cls+mean", truncate_dim=10).width(24) == 10
    assert EmbeddingSettings(truncate_dim=99).width(24) == 24


def test_a_prompt_by_its_name_or_as_text():
    settings = EmbeddingSettings(prompts={"query": "find: "})
    assert settings.named_or_text("query") == "find: "
    assert settings.named_or_text("look for ") == "look for "
    with pytest.raises(UsageError, match="there is no prompt 'qeury'"):
        settings.named_or_text("qeury")
    assert settings.with_prompt(name="query").prompt() == "find: "
    assert settings.with_prompt(name="query").with_prompt("").prompt() == ""


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"pooling": "sum"}, "pooling is 'sum'"),
        ({"pooling": ["mean"]}, "pooling must be str"),
        ({"normalize": "no"}, "normalize must be bool"),
        ({"max_length": 8.5}, "max_length must be an integer"),
        ({"truncate_dim": 0}, "truncate_dim must be an integer of at least 1"),
        ({"similarity": "sine"}, "similarity is 'sine': expected one of cosine"),
        ({"prompts": {"a": 3}}, "prompt 'a' must be str"),
        ({"default_prompt_name": "a"}, "there is no prompt 'a'"),
        ({"prompt": 3}, "a prompt must be str"),
    ],
)
def test_options_that_cannot_be(made, option, message):
    with pytest.raises(UsageError, match=message):
        SentenceEncoder.from_pretrained(made, **option)

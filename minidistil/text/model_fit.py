"""A tokenizer beside a model: rows of its tables, token types, and tokenizers of another family."""

from __future__ import annotations

from minidistil.config import ModelConfig
from minidistil.errors import ConfigError
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.tokenizer_kinds import KINDS, MODEL_TYPES, TokenizerKind

SPARE = 128  # rows that a table may have more than its vocabulary, rounded up for speed
MARKS = {"wordpiece": "inside", "byte-level": "bytes", "unigram": "space"}  # of each pipeline
TITLES = {"inside": "WordPiece", "bytes": "byte-level BPE", "space": "Unigram", "none": "whole words"}


def fit_tokenizer(
    tokenizer: Tokenizer, config: ModelConfig, path: object = None, *, training: bool = False
) -> Tokenizer:
    """Copy of a tokenizer for a model, or the same if that is the same.

    Without token types where the model has one row for them. A text with a token beyond the table of words is
    then an InputError.

    Parameters
    ----------
    tokenizer : Tokenizer
    config : ModelConfig
    path : object, optional
        Source of both, for messages.
    training : bool
        Refuse a tokenizer with tokens beyond the table at once.

    Raises
    ------
    ConfigError
        A tokenizer of another family; with `training`, a token beyond the table.
    """
    rows = config.vocab_size
    if training:
        tokenizer = tokenizer.check_rows(rows, path)
    found = _another_family(tokenizer, config)
    if found is not None:
        at = "" if path is None else f"{path}: "
        raise ConfigError(
            f"{at}the tokenizer is of another family than the model: {found}. "
            "Take the tokenizer that the model was trained with"
        )
    tokenizer = tokenizer.for_model(rows)
    return tokenizer.without_token_types() if config.type_vocab_size == 1 else tokenizer


def _another_family(tokenizer: Tokenizer, config: ModelConfig) -> str | None:
    """Signs of a tokenizer that another family has, in words; None if it may be the model's.

    A model may have any: what counts is that its table is not of the tokenizer's size, and that besides the
    pipeline, or all special tokens that config.json names, differ.
    """
    ids, rows = tokenizer.num_ids, config.vocab_size
    if ids == rows:
        return None
    usual = KINDS[MODEL_TYPES.get(config.model_type, "BertTokenizer")]
    wanted, found = MARKS[usual.model], tokenizer.marks.kind
    sizes = f"{ids} ids for a table of {rows} rows"
    if found not in (wanted, "none") and not 0 <= rows - ids < SPARE:
        return f"{TITLES[found]} with {sizes}, where {config.model_type} has {TITLES[wanted]}"
    named = _named_ids(config)
    own = {role: tokenizer.token_to_id(tokenizer.special_tokens[role]) for role in named}
    if len(named) > 1 and _other_template(tokenizer, usual) and all(own[r] != i for r, i in named.items()):
        roles = ", ".join(f"{role} has id {own[role]} and not {i}" for role, i in named.items())
        return f"{sizes}, and of config.json's special tokens {roles}"
    return None


def _named_ids(config: ModelConfig) -> dict[str, int]:
    """Ids of special tokens that config.json names."""
    named = {
        "pad_token": config.pad_token_id,
        "cls_token": config.extra.get("bos_token_id"),
        "sep_token": config.extra.get("eos_token_id"),
    }
    return {role: i for role, i in named.items() if type(i) is int}


def _other_template(tokenizer: Tokenizer, usual: TokenizerKind) -> bool:
    """True if other numbers of special tokens stand around two texts than usual."""
    return len(tokenizer.frames[True].ids) != usual.pair_tokens

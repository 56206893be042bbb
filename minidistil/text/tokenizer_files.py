"""Reading a tokenizer's files: tokenizer.json, or what the first BERTs had, vocab.txt and settings.

BERT's pipeline (Devlin et al. 2018, arXiv:1810.04805): clean the text, lower its case, split at spaces and
punctuation, cut every word into the longest pieces the vocabulary has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from minidistil.errors import ConfigError

SPECIAL_TOKENS = {  # the roles, and BERT's names for them
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
FLAGS = ("special", "single_word", "lstrip", "rstrip", "normalized")  # of an added token


def read_tokenizer(directory: Path) -> tuple[Any, dict[str, str], dict[str, Any]]:
    """Read the tokenizer in a directory.

    Returns
    -------
    rust : tokenizers.Tokenizer
    special_tokens : {"cls_token": "[CLS]", ...}, as far as the files name them
    config : contents of tokenizer_config.json

    Raises
    ------
    ConfigError
        No tokenizer files, or files that cannot be read.
    """
    config = _read_json(directory / "tokenizer_config.json")
    named = {**_read_json(directory / "special_tokens_map.json"), **config}
    special = _special_tokens(named)
    if (directory / "tokenizer.json").is_file():
        return _load_tokenizer_json(directory / "tokenizer.json", config), special, config
    if (directory / "vocab.txt").is_file():
        return _build_wordpiece(directory, named, special), special, config
    raise ConfigError(f"{directory} holds no tokenizer: expected tokenizer.json, or vocab.txt")


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start} is invalid") from error


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} if there is no such file."""
    if not path.exists():
        return {}
    try:
        value = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path} is not valid JSON: line {error.lineno}: {error.msg}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} should hold a JSON object, not a {type(value).__name__}")
    return value


def _special_tokens(config: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens named in a config, either as "[CLS]" or as {"content": "[CLS]", ...}."""
    tokens = {}
    for role in SPECIAL_TOKENS:
        value = config.get(role)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            tokens[role] = value
    return tokens


def _load_tokenizer_json(path: Path, config: Mapping[str, Any]) -> Any:
    state = _read_json(path)
    # transformers lets tokenizer_config.json overrule the pipeline of the Bert classes, and so must we to
    # get its ids. (Where the config is silent it assumes lower case; we then believe tokenizer.json.)
    normalizer = state.get("normalizer")
    if (
        isinstance(normalizer, dict)
        and normalizer.get("type") == "BertNormalizer"
        and "Bert" in (config.get("tokenizer_class") or "BertTokenizer")
    ):
        for key, ours in (
            ("do_lower_case", "lowercase"),
            ("strip_accents", "strip_accents"),
            ("tokenize_chinese_chars", "handle_chinese_chars"),
        ):
            normalizer[ours] = config.get(key, normalizer.get(ours))
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(state))
    except Exception as error:  # the Rust library raises nothing more specific
        raise ConfigError(f"{path} does not describe a tokenizer: {error}") from error


def _build_wordpiece(directory: Path, config: Mapping[str, Any], special: Mapping[str, str]) -> Any:
    """BERT's pipeline around vocab.txt, one token a line, the line number (from 0) its id."""
    path = directory / "vocab.txt"
    lines = _read_text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    vocab = {token: i for i, token in enumerate(lines)}
    tokens = {**SPECIAL_TOKENS, **special}
    for role in ("unk_token", "cls_token", "sep_token"):
        if tokens[role] not in vocab:
            raise ConfigError(f"{path} lacks {tokens[role]}: not a BERT vocabulary, or a damaged one")
    rust = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=tokens["unk_token"]))
    flags = {key: config.get(key) for key in ("tokenize_chinese_chars", "strip_accents", "do_lower_case")}
    for key, value in flags.items():
        if value not in (None, True, False):
            raise ConfigError(f"{directory}: {key} is {value!r}: expected true, false or null")
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=flags["tokenize_chinese_chars"] is not False,
        strip_accents=flags["strip_accents"],
        lowercase=flags["do_lower_case"] is not False,
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##")
    cls, sep = tokens["cls_token"], tokens["sep_token"]
    rust.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    rust.add_special_tokens(list(tokens.values()))  # so that "[MASK]" in a text is the token
    added = _added_tokens(directory, config)
    for i in sorted(added):
        content = added[i].content
        if content not in tokens.values():
            rust.add_tokens([added[i]])
            if rust.token_to_id(content) != i:
                raise ConfigError(f"{directory}: {content!r} cannot have id {i} after {path.name}")
    # Without an id: words of the vocabulary that are not to be cut, or new ones at its end.
    known = [*tokens.values(), *(token.content for token in added.values())]
    rust.add_special_tokens([t for t in _contents(config.get("additional_special_tokens")) if t not in known])
    return rust


def _added_tokens(directory: Path, config: Mapping[str, Any]) -> dict[int, AddedToken]:
    """Tokens that came to the vocabulary later, by id: {"[X]": 3} of old files, {"3": {"content": "[X]"}}."""
    try:
        old = {int(i): AddedToken(name) for name, i in _read_json(directory / "added_tokens.json").items()}
        new = {
            int(i): AddedToken(
                about["content"],
                **{flag: about[flag] for flag in FLAGS if flag in about},
            )
            for i, about in (config.get("added_tokens_decoder") or {}).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{directory}: its added tokens cannot be read: {error!r}") from error
    return old | new


def _contents(tokens: Any) -> list[str]:
    """Tokens as they stand in a text, each written as "[X]" or as {"content": "[X]", ...}."""
    given = tokens if isinstance(tokens, list) else ()
    found = [token.get("content") if isinstance(token, dict) else token for token in given]
    return [token for token in found if isinstance(token, str)]

"""A tokenizer as files that transformers reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from minidistil.text.added_tokens import FLAGS
from minidistil.text.tokenizer_files import TokenizerFiles
from minidistil.text.truncation import Side


def render(
    rust: Any,
    saved: TokenizerFiles | None,
    special_tokens: Mapping[str, str],
    *,
    model_max_length: int | None,
    truncation_side: Side,
    token_type_ids: bool,
) -> dict[str, bytes]:
    """Contents of the files, by name; see `Tokenizer.files`. Other settings than these are as in `saved`."""
    state = json.loads(rust.to_str())
    wordpiece = state["model"].get("type") == "WordPiece"
    before, map_ = (saved.config, saved.special_tokens_map) if saved else ({}, {})
    usual = "BertTokenizer" if wordpiece else "PreTrainedTokenizerFast"
    names = before.get("model_input_names") or ["input_ids", "token_type_ids", "attention_mask"]
    config: dict[str, Any] = {
        **before,
        "tokenizer_class": before.get("tokenizer_class") or (saved.tokenizer_class if saved else usual),
        "model_input_names": [name for name in names if token_type_ids or name != "token_type_ids"],
        **_roles(rust, special_tokens, before),
    }
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    if truncation_side != "right" or "truncation_side" in before:
        config["truncation_side"] = truncation_side
    if before.get("added_tokens_decoder") is not None:
        config["added_tokens_decoder"] = {
            str(i): {"content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
            for i, token in sorted(rust.get_added_tokens_decoder().items())
        }
    normalizer = state.get("normalizer") or {}
    if normalizer.get("type") == "BertNormalizer":
        config["do_lower_case"] = normalizer["lowercase"]
        config["strip_accents"] = normalizer["strip_accents"]
        config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"]
    files = {
        "tokenizer.json": rust.to_str(pretty=True).encode(),
        "tokenizer_config.json": _json_bytes(config),
        "special_tokens_map.json": _json_bytes({**map_, **_roles(rust, special_tokens, map_)}),
    }
    if wordpiece and (lines := _lines(rust.get_vocab(with_added_tokens=False))) is not None:
        files["vocab.txt"] = "".join(f"{line}\n" for line in lines).encode()
    return files


def _roles(rust: Any, special_tokens: Mapping[str, str], before: Mapping[str, Any]) -> dict[str, Any]:
    """The special tokens that there are; those that a file says so already, as it says it."""
    roles: dict[str, Any] = {}
    for role, token in special_tokens.items():
        said = before.get(role)
        if rust.token_to_id(token) is not None and not (role in before and said is None):
            roles[role] = said if isinstance(said, dict) and said.get("content") == token else token
    return roles


def _lines(vocab: Mapping[str, int]) -> list[str] | None:
    """vocab.txt, where the line number is the id; None of a vocabulary that cannot be written so."""
    in_order = sorted(vocab, key=vocab.__getitem__)
    whole = [vocab[token] for token in in_order] == list(range(len(in_order)))
    return in_order if in_order and whole and all(token == token.rstrip() for token in in_order) else None


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()

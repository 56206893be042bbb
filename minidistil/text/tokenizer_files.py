"""The tokenizer of a model directory: tokenizer.json, or what older models have, a vocabulary and settings.

A tokenizer.json is followed, whatever its pipeline. Around a vocabulary alone the pipeline is built that its
class has (`minidistil.text.vocabulary_files`, `minidistil.text.tokenizer_kinds`).

The special tokens of the files are put into the pipeline, which is the only source afterwards: the tokens
around a text, around a window and under `cls_token_id` cannot differ.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from minidistil.errors import ConfigError
from minidistil.files import read_json
from minidistil.text.added_tokens import FLAGS, ROBERTA_TOKENS, SPECIAL_TOKENS, AddedTokens, read_if_any
from minidistil.text.encodings import Side, library_errors
from minidistil.text.tokenizer_kinds import ANY_CLASSES, AROUND_BERT, KINDS, MODEL_TYPES, TokenizerKind
from minidistil.text.tokenizer_limits import check_growth, check_limits
from minidistil.text.vocabulary_files import TOKENIZER_JSON, build_pipeline, flag, put_around

BERT_CLASS = "BertTokenizer"  # where nothing says another
INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")  # that models take by default


@dataclass(frozen=True)
class TokenizerFiles:
    """A directory's tokenizer.

    Attributes
    ----------
    rust : tokenizers.Tokenizer
        With all tokens of all files.
    special_tokens : dict
        {"cls_token": "[CLS]", ...}, as far as the files name them.
    tokenizer_class : str
        The name of its class in transformers, without "Fast".
    model_max_length : int or None
        Longest sequence, special tokens included; None if the files do not say.
    truncation_side, padding_side : {"right", "left"}
    token_type_ids : bool
        Whether the model is fed token types.
    config, special_tokens_map : dict
        Contents of tokenizer_config.json and special_tokens_map.json.
    """

    rust: Any
    special_tokens: dict[str, str]
    tokenizer_class: str
    model_max_length: int | None
    truncation_side: Side
    padding_side: Side
    token_type_ids: bool
    config: dict[str, Any]
    special_tokens_map: dict[str, Any]


def read_tokenizer(directory: Path) -> TokenizerFiles:
    """Read the tokenizer in a directory.

    Raises
    ------
    ConfigError
        No tokenizer files, files that cannot be read or contradict each other, or a class that we do not know
        and that has no tokenizer.json.
    """
    config, map_ = (
        read_if_any(directory / f"{name}.json") for name in ("tokenizer_config", "special_tokens_map")
    )
    said, name = _class_of(directory, config)
    kind = KINDS[_class_of_model(directory)] if name in ANY_CLASSES else KINDS.get(name)
    usual = kind or KINDS[BERT_CLASS]
    added = AddedTokens.read(
        directory, config, map_, usual.special_tokens, mask_takes_space=usual.mask_takes_space
    )
    takes_types = _takes_types(directory, config, KINDS.get(name))
    if os.path.lexists(directory / TOKENIZER_JSON):
        state = read_json(directory / TOKENIZER_JSON)
        if not said and not _is_berts(state):
            name = "PreTrainedTokenizer"
        known = None if name in ANY_CLASSES else kind
        rust = _load_tokenizer_json(directory / TOKENIZER_JSON, state, config, added, known)
    else:
        rust = build_pipeline(directory, name, kind, config, added)
    rust.encode_special_tokens = bool(flag(directory, config, "split_special_tokens"))
    return TokenizerFiles(
        rust=rust,
        special_tokens=_special_tokens(rust, added),
        tokenizer_class=name,
        model_max_length=_max_length(directory, config),
        truncation_side=_side(directory, config, "truncation_side", rust.truncation),
        padding_side=_side(directory, config, "padding_side", rust.padding),
        token_type_ids=takes_types,
        config=config,
        special_tokens_map=map_,
    )


def _class_of(directory: Path, config: Mapping[str, Any]) -> tuple[bool, str]:
    """True if the files say it, and the class in tokenizer_config.json, or config.json, or of its model."""
    kind = config.get("tokenizer_class")
    if kind is None:
        of_model = read_if_any(directory / "config.json")
        kind = of_model.get("tokenizer_class")
        if kind is None:
            return "model_type" in of_model, _class_of_model(directory)
    if not isinstance(kind, str):
        raise ConfigError(f"{directory}: tokenizer_class is {kind!r:.80}: expected the name of a class")
    return True, kind.removesuffix("Fast")


def _class_of_model(directory: Path) -> str:
    model_type = read_if_any(directory / "config.json").get("model_type")
    return MODEL_TYPES.get(model_type, BERT_CLASS) if isinstance(model_type, str) else BERT_CLASS


def _is_of(rust: Any, kind: TokenizerKind | None) -> bool:
    """True if a pipeline has the model of a class and its special tokens."""
    models = {"wordpiece": "WordPiece", "byte-level": "BPE", "unigram": "Unigram"}
    return (
        kind is not None
        and type(rust.model).__name__ == models[kind.model]
        and all(
            rust.token_to_id(kind.special_tokens[role]) is not None for role in ("cls_token", "sep_token")
        )
    )


def _special_tokens(rust: Any, added: AddedTokens) -> dict[str, str]:
    """Special tokens by role: as the files name them, else a usual one, best one that is special there."""
    found = {role: token.content for role, token in added.named.items() if role in SPECIAL_TOKENS}
    special = {token.content for token in rust.get_added_tokens_decoder().values() if token.special}
    for role in SPECIAL_TOKENS.keys() - found.keys() - added.absent:
        usual = (added.usual[role], ROBERTA_TOKENS[role], SPECIAL_TOKENS[role])
        there = [token for token in usual if rust.token_to_id(token) is not None]
        if there:
            found[role] = next((token for token in there if token in special), there[0])
    return found


def _max_length(directory: Path, config: Mapping[str, Any]) -> int | None:
    """Length that a file says; None for nothing and for "unknown", which is 10^30 in transformers."""
    limit = config.get("model_max_length", config.get("max_len"))
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise ConfigError(f"{directory}: model_max_length is {limit!r:.80}: expected a number of tokens")
    return int(limit) if 2 < limit < 10**6 else None


def _side(directory: Path, config: Mapping[str, Any], key: str, last: Mapping[str, Any] | None) -> Side:
    """Side that tokenizer_config.json says, else that of the truncation or padding in tokenizer.json."""
    side: Any = config.get(key) or (last["direction"] if last else "right")
    if side not in ("right", "left"):
        raise ConfigError(f"{directory}: {key} is {side!r:.80}: expected 'right' or 'left'")
    found: Side = side
    return found


def _takes_types(directory: Path, config: Mapping[str, Any], kind: TokenizerKind | None) -> bool:
    names = config.get("model_input_names")
    if names is None:
        return kind is not None and kind.token_types
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{directory}: model_input_names is {names!r:.80}: expected a list of names")
    return "token_type_ids" in names


def _load_tokenizer_json(
    path: Path,
    state: dict[str, Any],
    config: Mapping[str, Any],
    added: AddedTokens,
    kind: TokenizerKind | None,
) -> Any:
    """The pipeline of a tokenizer.json, whose content is `state`, with what other files set."""
    model: Any = state.get("model")
    check_limits(path, state)
    # transformers builds the pipeline of its Bert classes anew, and so must we to get its ids: of what
    # tokenizer_config.json sets, with BERT's special tokens around a text. (Where that is silent it assumes
    # lower case; we then believe tokenizer.json, as of everything else in the pipeline.)
    bert = kind is not None and kind.model == "wordpiece" and kind.template is AROUND_BERT
    bert &= isinstance(model, dict) and _is_wordpiece(model)
    if bert:
        normalizer = state.get("normalizer")
        if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
            for key, ours in (
                ("do_lower_case", "lowercase"),
                ("strip_accents", "strip_accents"),
                ("tokenize_chinese_chars", "handle_chinese_chars"),
            ):
                value = flag(path.parent, config, key)
                if value is not None or (key == "strip_accents" and key in config):
                    normalizer[ours] = value
        if "unk_token" in added.named:
            model["unk_token"] = added.role("unk_token")
    with library_errors(f"{path} does not describe a tokenizer"):
        rust = tokenizers.Tokenizer.from_str(json.dumps(state))
        check_growth(path, state.get("normalizer"))
        added.put_into(rust, usual=bert)
        if kind is not None and (bert or (rust.post_processor is None and _is_of(rust, kind))):
            put_around(path, rust, added, kind, config)
    return rust


def _is_berts(state: Mapping[str, Any]) -> bool:
    """True if a tokenizer.json may be BERT's, and is not that of a later family."""
    model, around = state.get("model"), json.dumps(state.get("post_processor"))
    return isinstance(model, dict) and _is_wordpiece(model) and ROBERTA_TOKENS["sep_token"] not in around


def _is_wordpiece(model: Mapping[str, Any]) -> bool:
    """True if a model is WordPiece; the first files did not name its type."""
    usual = "WordPiece" if "max_input_chars_per_word" in model else None
    return bool(model.get("type", usual) == "WordPiece")


def render(
    rust: Any,
    saved: TokenizerFiles | None,
    special_tokens: Mapping[str, str],
    *,
    model_max_length: int | None,
    truncation_side: Side,
    padding_side: Side,
    token_type_ids: bool,
) -> dict[str, bytes]:
    """Contents of a tokenizer's files; see `Tokenizer.files`. Other settings than these are as in `saved`."""
    state = json.loads(rust.to_str())
    wordpiece = state["model"].get("type") == "WordPiece"
    before, map_ = (saved.config, saved.special_tokens_map) if saved else ({}, {})
    usual = "BertTokenizer" if wordpiece else "PreTrainedTokenizerFast"
    names = before.get("model_input_names") or INPUT_NAMES
    config: dict[str, Any] = {
        **before,
        "tokenizer_class": before.get("tokenizer_class") or (saved.tokenizer_class if saved else usual),
        "model_input_names": [name for name in names if token_type_ids or name != "token_type_ids"],
        **_roles(rust, special_tokens, before),
    }
    if model_max_length is not None:
        config["model_max_length"] = model_max_length
    for key, side in (("truncation_side", truncation_side), ("padding_side", padding_side)):
        if side != "right" or key in before:
            config[key] = side
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

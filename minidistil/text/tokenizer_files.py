"""The tokenizer of a model directory: tokenizer.json, or what the first BERTs had, vocab.txt and settings.

BERT's pipeline (Devlin et al. 2018, arXiv:1810.04805): clean the text, lower its case, split at spaces and
punctuation, cut every word into the longest pieces the vocabulary has.

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
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from minidistil.errors import ConfigError
from minidistil.files import read_json, read_text
from minidistil.text.added_tokens import FLAGS, SPECIAL_TOKENS, AddedTokens, read_if_any
from minidistil.text.encodings import Side, library_errors
from minidistil.text.tokenizer_limits import check_growth, check_limits

# Classes of transformers whose pipeline is BERT's, without the "Fast" that a name may end with.
BERT_CLASSES = frozenset(
    f"{model}Tokenizer"
    for model in (
        "Bert", "ConvBert", "DistilBert", "DPRContextEncoder", "DPRQuestionEncoder", "DPRReader", "Electra",
        "LayoutLM", "Lxmert", "MobileBert", "RetriBert", "SqueezeBert",
    )
)  # fmt: skip
ANY_CLASSES = frozenset({"PreTrainedTokenizer", "TokenizersBackend"})  # of any pipeline
# Those whose models are fed token types, unless model_input_names says otherwise.
WITH_TYPES = BERT_CLASSES - {"DistilBertTokenizer", "DPRReaderTokenizer"}
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
        No tokenizer files, files that cannot be read or contradict each other, or a class that is not
        BERT's and has no tokenizer.json.
    """
    config, map_ = (
        read_if_any(directory / f"{name}.json") for name in ("tokenizer_config", "special_tokens_map")
    )
    kind = _class_of(directory, config)
    added = AddedTokens.read(directory, config, map_)
    if os.path.lexists(directory / "tokenizer.json"):
        rust = _load_tokenizer_json(directory / "tokenizer.json", config, added, kind)
    elif os.path.lexists(directory / "vocab.txt"):
        if kind not in BERT_CLASSES | ANY_CLASSES:
            raise ConfigError(
                f"{directory} says that its tokenizer is a {kind}, which does not cut texts as BERT's does: "
                "vocab.txt alone does not say how. A tokenizer.json beside it would, which transformers "
                "writes for most classes; else choose a model with another tokenizer"
            )
        rust = _build_wordpiece(directory / "vocab.txt", config, added)
    else:
        hint = ""
        if (directory / "config.json").exists():
            hint = (
                ". A model and its tokenizer are saved together by model.save_pretrained(path, "
                "tokenizer=tokenizer); pipeline(task, path, tokenizer=...) takes another place's"
            )
        raise ConfigError(f"{directory} holds no tokenizer: expected tokenizer.json, or vocab.txt{hint}")
    rust.encode_special_tokens = bool(_flag(directory, config, "split_special_tokens"))
    return TokenizerFiles(
        rust=rust,
        special_tokens={role: token.content for role, token in added.named.items() if role in SPECIAL_TOKENS},
        tokenizer_class=kind,
        model_max_length=_max_length(directory, config),
        truncation_side=_side(directory, config, "truncation_side", rust.truncation),
        padding_side=_side(directory, config, "padding_side", rust.padding),
        token_type_ids=_takes_types(directory, config, kind),
        config=config,
        special_tokens_map=map_,
    )


def _class_of(directory: Path, config: Mapping[str, Any]) -> str:
    """The class that tokenizer_config.json names, else config.json, else BERT's."""
    kind = config.get("tokenizer_class")
    if kind is None:
        kind = read_if_any(directory / "config.json").get("tokenizer_class")
    if kind is None:
        return "BertTokenizer"
    if not isinstance(kind, str):
        raise ConfigError(f"{directory}: tokenizer_class is {kind!r:.80}: expected the name of a class")
    return kind.removesuffix("Fast")


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


def _takes_types(directory: Path, config: Mapping[str, Any], kind: str) -> bool:
    names = config.get("model_input_names")
    if names is None:
        return kind in WITH_TYPES
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{directory}: model_input_names is {names!r:.80}: expected a list of names")
    return "token_type_ids" in names


def _flag(directory: Path, config: Mapping[str, Any], key: str) -> bool | None:
    value = config.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise ConfigError(f"{directory}: {key} is {value!r:.80}: expected true, false or null")


def _load_tokenizer_json(path: Path, config: Mapping[str, Any], added: AddedTokens, kind: str) -> Any:
    state = read_json(path)
    model = state.get("model")
    check_limits(path, state)
    # transformers builds the pipeline of its Bert classes anew, and so must we to get its ids: of what
    # tokenizer_config.json sets, with BERT's special tokens around a text. (Where that is silent it assumes
    # lower case; we then believe tokenizer.json, as of everything else in the pipeline.)
    bert = kind in BERT_CLASSES and isinstance(model, dict) and _is_wordpiece(model)
    if bert:
        normalizer = state.get("normalizer")
        if isinstance(normalizer, dict) and normalizer.get("type") == "BertNormalizer":
            for key, ours in (
                ("do_lower_case", "lowercase"),
                ("strip_accents", "strip_accents"),
                ("tokenize_chinese_chars", "handle_chinese_chars"),
            ):
                value = _flag(path.parent, config, key)
                if value is not None or (key == "strip_accents" and key in config):
                    normalizer[ours] = value
        if "unk_token" in added.named:
            model["unk_token"] = added.role("unk_token")
    with library_errors(f"{path} does not describe a tokenizer"):
        rust = tokenizers.Tokenizer.from_str(json.dumps(state))
        check_growth(path, state.get("normalizer"))
        added.put_into(rust, bert=bert)
        if bert:
            _put_around(path, rust, added)
    return rust


def _is_wordpiece(model: Mapping[str, Any]) -> bool:
    """True if a model is WordPiece; the first files did not name its type."""
    usual = "WordPiece" if "max_input_chars_per_word" in model else None
    return bool(model.get("type", usual) == "WordPiece")


def _build_wordpiece(path: Path, config: Mapping[str, Any], added: AddedTokens) -> Any:
    """BERT's pipeline around vocab.txt, one token a line, the line number (from 0) its id."""
    lines = read_text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    vocab = {line.rstrip(): i for i, line in enumerate(lines)}
    for role in ("unk_token", "cls_token", "sep_token"):
        if added.role(role) not in vocab:
            raise ConfigError(f"{path} lacks {added.role(role)}: not a BERT vocabulary, or a damaged one")
    lower, accents, chinese = (
        _flag(path.parent, config, key)
        for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    )
    with library_errors(path):
        rust = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token=added.role("unk_token")))
        rust.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=chinese is not False,
            strip_accents=accents,
            lowercase=lower is not False,
        )
        rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        rust.decoder = decoders.WordPiece(prefix="##")
        added.put_into(rust, bert=True)
        _put_around(path, rust, added)
    return rust


def _put_around(path: Path, rust: Any, added: AddedTokens) -> None:
    """Put [CLS] before and [SEP] after every text."""
    cls, sep = added.role("cls_token"), added.role("sep_token")
    ids = [(token, rust.token_to_id(token)) for token in dict.fromkeys((cls, sep))]
    for token, i in ids:
        if i is None:
            raise ConfigError(f"{path} lacks {token}, which is to stand around every text")
    rust.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=ids,
    )


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

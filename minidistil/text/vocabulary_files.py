"""Pipelines around vocabularies that have files of their own, for directories without a tokenizer.json.

WordPiece (vocab.txt): clean the text, lower its case, split at spaces and punctuation, cut every word into
the longest pieces that the vocabulary has (BERT: Devlin et al. 2018, arXiv:1810.04805).

Byte-level BPE (vocab.json, merges.txt): split into words, each with the space before it; write the bytes of
their UTF-8 as characters that can be seen, the space as "Ġ"; merge pairs in the order of merges.txt (GPT-2:
Radford et al. 2019; RoBERTa: Liu et al. 2019, arXiv:1907.11692).

Unigram (a sentencepiece model): map characters, split at spaces, write "▁" before every word, cut it into the
most probable pieces (Kudo 2018, arXiv:1804.10959). The normalizers are those of the transformers classes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from minidistil.errors import ConfigError
from minidistil.files import read_json, read_text
from minidistil.text.added_tokens import AddedTokens
from minidistil.text.encodings import library_errors
from minidistil.text.sentencepiece_model import read_sentencepiece
from minidistil.text.tokenizer_kinds import AROUND_ROBERTA, KINDS, TokenizerKind
from minidistil.text.tokenizer_limits import check_limits

TOKENIZER_JSON = "tokenizer.json"
# Files of a vocabulary, with a class that has them and its family, for messages.
VOCABULARIES = {
    "vocab.txt": ("BertTokenizer", "BERT's"),
    "vocab.json": ("RobertaTokenizer", "RoBERTa's"),
    "sentencepiece.bpe.model": ("XLMRobertaTokenizer", "XLM-R's"),
    "spiece.model": ("AlbertTokenizer", "ALBERT's"),
}


def has_tokenizer(directory: Path) -> bool:
    """True if a directory has a file of a tokenizer."""
    return any(os.path.lexists(directory / name) for name in (TOKENIZER_JSON, *VOCABULARIES))


def flag(directory: Path, config: Mapping[str, Any], key: str) -> bool | None:
    """A setting of tokenizer_config.json that is true, false or null."""
    value = config.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise ConfigError(f"{directory}: {key} is {value!r:.80}: expected true, false or null")


def build_pipeline(
    directory: Path, name: str, kind: TokenizerKind | None, config: Mapping[str, Any], added: AddedTokens
) -> Any:
    """The pipeline of a class around the vocabulary in a directory, as a tokenizers.Tokenizer.

    Parameters
    ----------
    directory : Path
    name : str
        Name of the class, for messages.
    kind : TokenizerKind, optional
        None of a class that is not known.
    config : mapping
        Contents of tokenizer_config.json.
    added : AddedTokens

    Raises
    ------
    ConfigError
        No vocabulary, one of another kind, or a damaged one.
    """
    found = [file for file in VOCABULARIES if os.path.lexists(directory / file)]
    files = kind.files if kind else ("vocab.txt",)
    missing = [file for file in files if not os.path.lexists(directory / file)]
    if kind is None or missing:
        raise ConfigError(_nothing_there(directory, name, files, missing, found))
    path = directory / files[0]
    rust = _BUILDERS[kind.model](path, config, added, kind)
    later = {token.content for token in added.by_id.values()}
    for role in ("cls_token", "sep_token"):
        if rust.token_to_id(added.role(role)) is None and added.role(role) not in later:
            raise ConfigError(
                f"{path} lacks {added.role(role)}: not the vocabulary of a {name}, or a damaged one"
            )
    with library_errors(path):
        added.put_into(rust, usual=True)
        put_around(path, rust, added, kind, config)
    return rust


def put_around(
    path: Path, rust: Any, added: AddedTokens, kind: TokenizerKind, config: Mapping[str, Any]
) -> None:
    """Put the template of a class around every text."""
    tokens = {"cls": added.role("cls_token"), "sep": added.role("sep_token")}
    ids = {name: (token, rust.token_to_id(token)) for name, token in tokens.items()}
    for token, i in ids.values():
        if i is None:
            raise ConfigError(f"{path} lacks {token}, which is to stand around every text")
    if kind.template is AROUND_ROBERTA and kind.model != "unigram":
        # The template, and no token's characters begin with a space.
        trims = flag(path.parent, config, "trim_offsets") is not False
        space = getattr(rust.pre_tokenizer, "add_prefix_space", False)
        rust.post_processor = processors.RobertaProcessing(
            ids["sep"], ids["cls"], trim_offsets=trims, add_prefix_space=space
        )
        return
    single, pair = (text.format(**tokens) for text in kind.template)
    rust.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=list(dict.fromkeys(ids.values()))
    )


def _nothing_there(
    directory: Path, name: str, files: tuple[str, ...], missing: list[str], found: list[str]
) -> str:
    """Message for a directory without the vocabulary that it is to have."""
    expected = f"expected tokenizer.json, or {' and '.join(files)}"
    if 0 < len(missing) < len(files):
        return f"{directory} lacks {' and '.join(missing)} of its tokenizer, a {name}: {expected}"
    if found:
        file = found[0]
        usual, theirs = VOCABULARIES[file]
        return (
            f"{directory} says that its tokenizer is a {name}, which does not cut texts as {theirs} "
            f"does: {file} alone does not say how. A tokenizer.json beside it would, which transformers "
            f"writes for most classes. If it is {theirs}, tokenizer_config.json must name the class, "
            f'such as "tokenizer_class": "{usual}"; else choose a model with another tokenizer'
        )
    hint = ""
    if (directory / "config.json").exists():
        hint = (
            ". A model and its tokenizer are saved together by model.save_pretrained(path, "
            "tokenizer=tokenizer); pipeline(task, path, tokenizer=...) takes another place's"
        )
    return f"{directory} holds no tokenizer: {expected}{hint}"


def _wordpiece(path: Path, config: Mapping[str, Any], added: AddedTokens, kind: TokenizerKind) -> Any:
    """BERT's pipeline around vocab.txt, one token a line, the line number (from 0) its id."""
    lines = read_text(path).replace("\r\n", "\n").removesuffix("\n").split("\n")
    vocab = {line.rstrip(): i for i, line in enumerate(lines)}
    for role in ("unk_token", "cls_token", "sep_token"):
        if added.role(role) not in vocab:
            family = "a BERT" if kind is KINDS["BertTokenizer"] else "such a"
            raise ConfigError(f"{path} lacks {added.role(role)}: not {family} vocabulary, or a damaged one")
    lower, accents, chinese = (
        flag(path.parent, config, key) for key in ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
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
    return rust


def _byte_level(path: Path, config: Mapping[str, Any], added: AddedTokens, kind: TokenizerKind) -> Any:
    """Byte-level BPE of vocab.json, {token: id}, and merges.txt, a pair a line, the first merged first."""
    vocab, beside = read_json(path), path.with_name(kind.files[1])
    check_limits(path, {"model": {"vocab": vocab}})
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(read_text(beside).replace("\r\n", "\n").split("\n"), 1):
        if not line or line.startswith("#version"):
            continue
        left, _, right = line.partition(" ")
        if not (left and right) or " " in right:
            raise ConfigError(
                f"{beside}, line {number}: expected two tokens with a space between, not {line!r:.80}"
            )
        for token in (left, right, left + right):
            if token not in vocab:
                raise ConfigError(f"{beside}, line {number}: {token!r:.80} is not in {path.name}")
        merges.append((left, right))
    space = flag(path.parent, config, "add_prefix_space") is True
    with library_errors(path):
        rust = tokenizers.Tokenizer(models.BPE(vocab, merges))
        rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
        rust.decoder = decoders.ByteLevel()
    return rust


def _unigram(path: Path, config: Mapping[str, Any], added: AddedTokens, kind: TokenizerKind) -> Any:
    """Unigram of a sentencepiece model, with the ids of the transformers class."""
    model, order = read_sentencepiece(path), kind.pieces
    lowered = [
        (piece, score + order.digit_comma * _ends_in_digit_comma(piece)) for piece, score in model.pieces
    ]
    vocab = [*order.first, *lowered[order.skipped :], *order.last]
    unknown = model.unknown if order.unknown is None else order.unknown
    if order.unknown is not None and model.unknown >= order.skipped:
        raise ConfigError(
            f"{path}: piece {model.unknown} is the one for the unknown; expected one below {order.skipped}"
        )
    steps: list[Any] = []
    if order.cleans:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        if flag(path.parent, config, "keep_accents") is not True:
            steps += [normalizers.NFKD(), normalizers.StripAccents()]
        if flag(path.parent, config, "do_lower_case") is not False:
            steps.append(normalizers.Lowercase())
    scheme = "always" if model.dummy_prefix else "never"
    with library_errors(path):
        if model.characters:
            steps.append(normalizers.Precompiled(model.characters))
        rust = tokenizers.Tokenizer(models.Unigram(vocab, unk_id=unknown, byte_fallback=False))
        if steps:
            rust.normalizer = normalizers.Sequence(steps)
        rust.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.WhitespaceSplit(),
                pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme),
            ]
        )
        rust.decoder = decoders.Metaspace(replacement="▁", prepend_scheme=scheme)
        roles = {added.role(role) for role in kind.special_tokens}
        whole = [AddedToken(piece, normalized=False) for piece in model.user_defined if piece not in roles]
        rust.add_tokens(whole)
    return rust


def _ends_in_digit_comma(piece: str) -> bool:
    return len(piece) > 1 and piece[-1] == "," and piece[-2].isdigit()


_BUILDERS = {"wordpiece": _wordpiece, "byte-level": _byte_level, "unigram": _unigram}

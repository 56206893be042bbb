"""Text to token ids and back, over the Rust library `tokenizers`.

A directory holds either tokenizer.json, or (as the first BERTs did) only vocab.txt, around which BERT's
pipeline is built; other files may add tokens and settings to it (see tokenizer_files.py).
"""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import tokenizers

from minidistil.arguments import check_choice, check_integer, check_names, check_type
from minidistil.arrays import Int32
from minidistil.errors import InputError, UsageError
from minidistil.files import atomic_write
from minidistil.text.added_tokens import ROBERTA_TOKENS, SPECIAL_TOKENS
from minidistil.text.encodings import (
    CutEncoding,
    Encodings,
    Side,
    cut,
    frame_of,
    library_errors,
)
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer_call import CallableTokenizer
from minidistil.text.tokenizer_files import INPUT_NAMES, TokenizerFiles, read_tokenizer, render

log = logging.getLogger("minidistil")

CHUNK = 128  # texts a call of the Rust library; bounds the memory its Encoding objects take

Truncation = bool | Literal["error"]
SETTINGS = ("model_max_length", "truncation_side", "padding_side")  # which files have, and a caller may say

if hasattr(os, "register_at_fork"):
    # The Rust library encodes on threads of its own, which a forked child has not. It then goes without,
    # unless this variable asks for them: the child would wait for ever.
    os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))


class Tokenizer(CallableTokenizer):
    """Tokenizer of the BERT family.

    Several threads may use it at once, and so may forked children: nothing of it changes.

    Parameters
    ----------
    rust : tokenizers.Tokenizer
        Any pipeline. Its post-processor decides cls_token and sep_token, its model unk_token.
    special_tokens : mapping, optional
        {"mask_token": "[MASK]", ...}; roles left out have RoBERTa's names if the vocabulary has those and not
        BERT's, else BERT's.
    model_max_length : int, optional
        Longest sequence that its files allow, special tokens included; None if they do not say.
    truncation_side : {"right", "left"}
        The end at which a text that is too long is cut.
    padding_side : {"right", "left"}
        The end at which a call that pads puts padding.
    token_type_ids : bool
        Give the second text of a pair token type 1; else all are 0.
    saved : TokenizerFiles, optional
        Files it was read from, whose other settings are kept when it is saved.

    Raises
    ------
    ConfigError
        The Rust library cannot use the pipeline.
    """

    def __init__(
        self,
        rust: Any,
        *,
        special_tokens: Mapping[str, str] | None = None,
        model_max_length: int | None = None,
        truncation_side: Side = "right",
        padding_side: Side = "right",
        token_type_ids: bool = True,
        saved: TokenizerFiles | None = None,
    ) -> None:
        if isinstance(rust, (str, os.PathLike)):
            raise UsageError(f"{type(self).__name__}.from_pretrained({str(rust)!r}) loads a tokenizer")
        # A tokenizer.json may carry the padding and truncation its author last used.
        rust.no_padding()
        rust.no_truncation()
        usual = {
            role: next((t for t in (bert, ROBERTA_TOKENS[role]) if rust.token_to_id(t) is not None), bert)
            for role, bert in SPECIAL_TOKENS.items()
        }
        super().__init__(rust, {**usual, **(special_tokens or {})})
        self.model_max_length = model_max_length
        self.truncation_side, self.padding_side = truncation_side, padding_side
        self.takes_token_types = token_type_ids
        self._saved = saved
        self.frames = {pair: frame_of(rust, pair, token_type_ids) for pair in (False, True)}
        unknown = getattr(rust.model, "unk_token", None)
        ids = {"unk_token": None if unknown is None else rust.token_to_id(unknown)}
        if (frame := self.frames[False]).begins:
            ids["cls_token"] = frame.ids[0]
            if len(frame.ids) > 1:
                ids["sep_token"] = frame.ids[-1]
        for role, i in ids.items():
            if i is not None and rust.token_to_id(self.special_tokens[role]) != i:
                self.special_tokens[role] = rust.id_to_token(i)

    def __repr__(self) -> str:
        length = "" if self.model_max_length is None else f", texts of up to {self.model_max_length} tokens"
        special = " ".join(self.special_tokens.values())
        return f"{type(self).__name__}({self.vocab_size:,} tokens{length}; {special})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_of_words"}

    @classmethod
    def from_pretrained(
        cls, path_or_id: str | Path, *, revision: str | None = None, use_fast: bool = True, **settings: Any
    ) -> Self:
        """Load a directory or a hub id, as transformers 5.24 does; see `read_tokenizer`.

        Parameters
        ----------
        path_or_id : directory, or an id such as "google-bert/bert-base-uncased"
        revision : str, optional
            Branch, tag or commit on the hub.
        use_fast : bool
            Without effect, as in transformers 5: there is one implementation.
        **settings
            `model_max_length`, `truncation_side`, `padding_side` in place of those in the files.

        Raises
        ------
        UsageError
            Another setting.
        ConfigError
            No tokenizer files, files that cannot be read, or another kind of tokenizer.
        MissingAssetError
            A hub id that cannot be fetched.
        """
        from minidistil.modules_json import encoder_directory
        from minidistil.weights.hub import resolve

        check_names(f"{cls.__name__}.from_pretrained", "setting", settings, SETTINGS)
        for side in settings.keys() & {"truncation_side", "padding_side"}:
            check_choice(side, settings[side], ("right", "left"))
        if settings.get("model_max_length") is not None:
            check_integer("model_max_length", settings["model_max_length"], 1)
        directory = encoder_directory(Path(resolve(path_or_id, revision=revision)))
        files = read_tokenizer(directory)
        return cls(
            files.rust,
            special_tokens=files.special_tokens,
            token_type_ids=files.token_type_ids,
            saved=files,
            **{name: getattr(files, name) for name in SETTINGS} | settings,
        )

    def lowered(self) -> Self:
        """Copy that lowers texts first, as sentence-transformers does: special tokens and accents stay."""
        if _lowers(json.loads(self._rust.to_str()).get("normalizer")):
            return self
        rust = tokenizers.Tokenizer.from_str(self._rust.to_str())
        before = [] if rust.normalizer is None else [rust.normalizer]
        rust.encode_special_tokens = self._rust.encode_special_tokens
        rust.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.Lowercase(), *before])
        other = copy.copy(self)
        other._rust = rust
        return other

    def with_max_length(self, model_max_length: int | None) -> Self:
        """Copy with another `model_max_length`."""
        other = copy.copy(self)
        other.model_max_length = model_max_length
        return other

    def without_token_types(self) -> Self:
        """Copy whose token types are all 0; the same if they are."""
        if not self.takes_token_types:
            return self
        other = copy.copy(self)
        other.takes_token_types = False
        other.frames = {
            pair: frame._replace(types=(0,) * len(frame.types)) for pair, frame in self.frames.items()
        }
        return other

    @property
    def model_input_names(self) -> list[str]:
        """Inputs that the model takes, as the files say."""
        said = self._saved.config.get("model_input_names") if self._saved else None
        return [n for n in said or INPUT_NAMES if self.takes_token_types or n != "token_type_ids"]

    # Encoding

    @overload
    def encode(self, texts: str, pairs: str | None = None, **options: Any) -> list[int]: ...  # type: ignore[overload-overlap]

    @overload
    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = True,
    ) -> Encodings: ...

    def encode(self, texts: Any, pairs: Any = None, **options: Any) -> list[int] | Encodings:
        """Tokenise texts, or pairs of texts, with [CLS] and [SEP]; empty text gives [CLS] [SEP].

        Of one string the result is the "input_ids" of a call, and `options` are those of a call, as in
        transformers. Of several texts it is as follows.

        Parameters
        ----------
        texts, pairs : sequences of str
            `pairs[i]` is the second sentence of `texts[i]`.
        max_length : int, optional
            Longest result in tokens; by default `model_max_length`. Without either nothing is cut.
        truncation : bool or "error"
            True: cut what is longer (of a pair, the longer sentence first), at the end that
            `truncation_side` says, and log one warning that says how many. False or "error": raise.

        Notes
        -----
        A special token that is written in a text, such as "[SEP]", is that token, as in transformers.

        Raises
        ------
        InputError
            Something that is not text, unequal numbers of texts and pairs, or a text too long.
        ConfigError
            A tokenizer that puts no [CLS] before a text.
        """
        if isinstance(texts, str):
            return self(texts, **({"text_pair": pairs} | options))["input_ids"]  # type: ignore[no-any-return]
        ids: list[Int32] = []
        types: list[Int32] = []
        raw: list[Any] = []
        for encoding in self.iter_encode(texts, pairs, **options):
            ids.append(np.array(encoding.ids, np.int32))
            types.append(self.types_of(encoding))
            raw.append(encoding)
        return Encodings(ids, types, raw, sum(isinstance(e, CutEncoding) for e in raw))

    def types_of(self, encoding: Any) -> Int32:
        """Token types of an encoding for the model, int32 [length]."""
        if self.takes_token_types:
            return np.array(encoding.type_ids, np.int32)
        return np.zeros(len(encoding), np.int32)

    def iter_encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = True,
    ) -> Iterator[Any]:
        """Encode as `encode`, one tokenizers.Encoding after the other, in bounded memory."""
        texts = as_texts("texts", texts)
        if pairs is not None:
            pairs = as_texts("pairs", pairs)
            if len(pairs) != len(texts):
                raise InputError(f"{len(texts)} texts but {len(pairs)} pairs")
        if truncation not in (True, False, "error"):
            raise UsageError(f'truncation must be True, False or "error", not {truncation!r}')
        if max_length is not None:
            check_integer("max_length", max_length, 1)
        limit = self.model_max_length if max_length is None else max_length
        frame = self.frames[pairs is not None]
        frame.check()
        least = 1 + len(frame.ids)
        if limit is not None and limit < least:
            raise UsageError(f"max_length must be at least {least} here, not {limit}")
        losing = 0
        rows = texts if pairs is None else list(zip(texts, pairs, strict=True))
        for i, encoding in enumerate(self.whole_encodings(rows, pairs is not None)):
            if limit is None or len(encoding) <= limit:
                yield encoding
                continue
            if truncation is not True:
                raise InputError(
                    f"text {i} has {len(encoding)} tokens, more than the maximum of {limit}; "
                    f"shorten it or allow truncation. It begins: {texts[i][:60]!r}"
                )
            losing += 1
            yield cut(encoding, limit, self.truncation_side, frame.owners)
        if losing:
            log.warning(
                "%d of %d texts are longer than %d tokens and were truncated", losing, len(texts), limit
            )

    def whole_encodings(
        self, rows: Sequence[Any], pair: bool, *, add_special_tokens: bool = True, words: bool = False
    ) -> Iterator[Any]:
        """Encode texts or pairs, one tokenizers.Encoding after the other, without cutting any.

        Parameters
        ----------
        rows : sequence of str or of (str, str)
            Or, with `words`, of lists of str.
        pair : bool
        add_special_tokens, words : bool

        Raises
        ------
        InputError
            A token that the model has no row for.
        ConfigError
            A tokenizer that puts no [CLS] before a text; a pipeline that fails.
        """
        if add_special_tokens:
            self.frames[pair].check()
        rust = self._of_words if words and self.marks.kind == "bytes" else self._rust
        for start in range(0, len(rows), CHUNK):
            with library_errors("the tokenizer cannot encode"):
                encodings = rust.encode_batch(
                    rows[start : start + CHUNK], is_pretokenized=words, add_special_tokens=add_special_tokens
                )
            if self._rows is not None:
                for i, encoding in enumerate(encodings):
                    ids = np.array(encoding.ids, np.int32)
                    self.refuse_beyond(ids, np.array([len(ids)]), start + i)
            yield from encodings

    @cached_property
    def _of_words(self) -> Any:
        """The pipeline for texts that are lists of words: byte-level BPE with a space before each of them."""
        state = json.loads(self._rust.to_str())
        rust = tokenizers.Tokenizer.from_str(json.dumps(_with_spaces(state)))
        rust.encode_special_tokens = self._rust.encode_special_tokens
        return rust

    # Saving

    def files(self, *, token_type_ids: bool = True) -> dict[str, bytes]:
        """Contents of the tokenizer's files, by name, as transformers reads them.

        Settings that it was read with and that are not its own are written as they were.

        Parameters
        ----------
        token_type_ids : bool
            Whether the model takes them (DistilBERT does not); written as `model_input_names`.
        """
        return render(
            self._rust,
            self._saved,
            self.special_tokens,
            model_max_length=self.model_max_length,
            truncation_side=self.truncation_side,
            padding_side=self.padding_side,
            token_type_ids=token_type_ids and self.takes_token_types,
        )

    def save(self, path: str | Path, *, token_type_ids: bool = True) -> None:
        """Write `files` into a directory, each through a temporary file and a rename."""
        check_type("the directory to write", path, (str, os.PathLike))
        directory = Path(path)
        for name, content in self.files(token_type_ids=token_type_ids).items():
            with atomic_write(directory / name) as temporary:
                temporary.write_bytes(content)

    def save_pretrained(self, path: str | Path) -> None:
        """Write the tokenizer's files into a directory; see `save`."""
        self.save(path)


def _with_spaces(part: Any) -> Any:
    """The description of a pipeline, or a part of it, with a space before every text."""
    if isinstance(part, dict):
        changed = {key: _with_spaces(value) for key, value in part.items() if key not in ("model", "vocab")}
        return {**part, **changed} | ({"add_prefix_space": True} if "add_prefix_space" in part else {})
    return [_with_spaces(value) for value in part] if isinstance(part, list) else part


def _lowers(normalizer: Any) -> bool:
    """True if the description of a normalizer, or a part of it, makes upper case lower."""
    if not isinstance(normalizer, dict):
        return False
    lowers = normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True
    return lowers or any(map(_lowers, normalizer.get("normalizers", ())))

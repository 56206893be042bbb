"""Text to token ids and back, over the Rust library `tokenizers`.

A directory holds either tokenizer.json, or (as the first BERTs did) only vocab.txt, around which BERT's
pipeline is built; other files may add tokens and settings to it (see tokenizer_files.py).
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import tokenizers

from minidistil.arguments import check_integer, check_type
from minidistil.arrays import Int32, as_int32
from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.files import atomic_write
from minidistil.text.added_tokens import SPECIAL_TOKENS
from minidistil.text.encodings import (
    CutEncoding,
    Encodings,
    Side,
    TokenSpans,
    cut,
    frame_of,
    library_errors,
    without_spaces,
)
from minidistil.text.texts import as_items, as_texts
from minidistil.text.tokenizer_files import TokenizerFiles, read_tokenizer, render
from minidistil.text.vocabulary import Vocabulary

log = logging.getLogger("minidistil")

CHUNK = 128  # texts a call of the Rust library; bounds the memory its Encoding objects take

Truncation = bool | Literal["error"]

if hasattr(os, "register_at_fork"):
    # The Rust library encodes on threads of its own, which a forked child has not. It then goes without,
    # unless this variable asks for them: the child would wait for ever.
    os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))


class Tokenizer(Vocabulary):
    """Tokenizer of the BERT family.

    Several threads may use it at once, and so may forked children: nothing of it changes.

    Parameters
    ----------
    rust : tokenizers.Tokenizer
        Any pipeline. Its post-processor decides cls_token and sep_token, its model unk_token.
    special_tokens : mapping, optional
        {"mask_token": "[MASK]", ...}; roles left out keep BERT's names.
    model_max_length : int, optional
        Longest sequence that its files allow, special tokens included; None if they do not say.
    truncation_side : {"right", "left"}
        The end at which a text that is too long is cut.
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
        token_type_ids: bool = True,
        saved: TokenizerFiles | None = None,
    ) -> None:
        # A tokenizer.json may carry the padding and truncation its author last used.
        rust.no_padding()
        rust.no_truncation()
        super().__init__(rust, {**SPECIAL_TOKENS, **(special_tokens or {})})
        self.model_max_length = model_max_length
        self.truncation_side: Side = truncation_side
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

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, revision: str | None = None) -> Self:
        """Load a directory or a hub id, as transformers 5.24 does; see `read_tokenizer`.

        Raises
        ------
        ConfigError
            No tokenizer files, files that cannot be read, or another kind of tokenizer.
        MissingAssetError
            A hub id that cannot be fetched.
        """
        from minidistil.modules_json import encoder_directory
        from minidistil.weights.hub import resolve

        directory = encoder_directory(Path(resolve(path_or_id, revision=revision)))
        files = read_tokenizer(directory)
        return cls(
            files.rust,
            special_tokens=files.special_tokens,
            model_max_length=files.model_max_length,
            truncation_side=files.truncation_side,
            token_type_ids=files.token_type_ids,
            saved=files,
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

    # Encoding

    def encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = True,
    ) -> Encodings:
        """Tokenise texts, or pairs of texts, with [CLS] and [SEP]; empty text gives [CLS] [SEP].

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
        ids: list[Int32] = []
        types: list[Int32] = []
        raw: list[Any] = []
        for encoding in self.iter_encode(texts, pairs, max_length=max_length, truncation=truncation):
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
        if not frame.begins:
            raise ConfigError(
                "the tokenizer puts no [CLS] before a text, which a model of this kind reads first: its "
                "tokenizer.json lacks a post_processor (or names one of another kind of model)"
            )
        least = 1 + len(frame.ids)
        if limit is not None and limit < least:
            raise UsageError(f"max_length must be at least {least} here, not {limit}")
        losing = 0
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            both = chunk if pairs is None else list(zip(chunk, pairs[start : start + CHUNK], strict=True))
            with library_errors("the tokenizer cannot encode"):
                encodings = self._rust.encode_batch(both)
            if self._rows is not None:
                for i, encoding in enumerate(encodings):
                    ids = np.array(encoding.ids, np.int32)
                    self.refuse_beyond(ids, np.array([len(ids)]), start + i)
            for i, encoding in enumerate(encodings):
                if limit is None or len(encoding) <= limit:
                    yield encoding
                    continue
                if truncation is not True:
                    raise InputError(
                        f"text {start + i} has {len(encoding)} tokens, more than the maximum of {limit}; "
                        f"shorten it or allow truncation. It begins: {chunk[i][:60]!r}"
                    )
                losing += 1
                yield cut(encoding, limit, self.truncation_side, frame.owners)
        if losing:
            log.warning(
                "%d of %d texts are longer than %d tokens and were truncated", losing, len(texts), limit
            )

    def encode_flat(self, texts: Sequence[str]) -> tuple[Int32, npt.NDArray[np.int64]]:
        """Encode texts end to end, without special tokens and without truncation: the fast way, for a corpus.

        Without spans in the text it saves a fifth of the time and more. Several threads may
        call this at once: while one makes an array of its result, the Rust library encodes for another.

        Returns
        -------
        ids : int32 [T]
        lengths : int64 [N]
            Tokens of each text; 0 if nothing is left of it.
        """
        texts = as_items("texts", texts)
        if not {str}.issuperset(map(type, texts)):  # the library takes a list for a pair
            texts = as_texts("texts", texts)
        fast = getattr(self._rust, "encode_batch_fast", self._rust.encode_batch)  # new in tokenizers 0.20.1
        with library_errors("the tokenizer cannot encode"):
            try:
                encodings: list[Any] = fast(texts, add_special_tokens=False)
            except (TypeError, UnicodeEncodeError):
                as_texts("texts", texts)
                raise
        return self._flat(encodings)

    def encode_spans(self, texts: Sequence[str]) -> TokenSpans:
        """Encode as `encode_flat`, with the characters and the word of each token."""
        texts = as_texts("texts", texts)
        with library_errors("the tokenizer cannot encode"):
            encodings: list[Any] = self._rust.encode_batch(texts, add_special_tokens=False)
        ids, lengths = self._flat(encodings)
        ends = chain.from_iterable(chain.from_iterable(encoding.offsets) for encoding in encodings)
        words = chain.from_iterable(encoding.word_ids for encoding in encodings)
        return TokenSpans(
            ids=ids,
            lengths=lengths,
            spans=without_spaces(texts, np.fromiter(ends, np.int64, 2 * len(ids)).reshape(-1, 2), lengths),
            word_ids=np.fromiter(words, np.int64, len(ids)),
        )

    def _flat(self, encodings: Sequence[Any]) -> tuple[Int32, npt.NDArray[np.int64]]:
        """Ids of encodings end to end, and the number of each."""
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        flat = chain.from_iterable(encoding.ids for encoding in encodings)
        ids = np.fromiter(flat, np.int32, int(lengths.sum()))
        self.refuse_beyond(ids, lengths)
        return ids, lengths

    def decode(self, ids: npt.ArrayLike, *, skip_special_tokens: bool = True) -> str:
        """Text of a sequence of ids: pieces joined, spaces before punctuation removed.

        Raises
        ------
        InputError
            No integers, or one that can be no id.
        """
        numbers = as_int32("ids", ids).reshape(-1)
        if numbers.min(initial=0) < 0:
            raise InputError(f"ids hold {numbers.min()}, which is outside of any vocabulary")
        text: str = self._rust.decode(numbers.tolist(), skip_special_tokens=skip_special_tokens)
        return text

    # Saving

    def content_hash(self) -> str:
        """SHA-256 of all that decides the ids of a text: vocabulary, pipeline, special tokens."""
        state = json.loads(self._rust.to_str())
        parts = {key: state.get(key) for key in ("model", "normalizer", "pre_tokenizer", "post_processor")}
        parts["added_tokens"] = sorted(state.get("added_tokens", ()), key=lambda token: int(token["id"]))
        parts["special_tokens"] = self.special_tokens
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

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
            token_type_ids=token_type_ids and self.takes_token_types,
        )

    def save(self, path: str | Path, *, token_type_ids: bool = True) -> None:
        """Write `files` into a directory, each through a temporary file and a rename."""
        check_type("the directory to write", path, (str, os.PathLike))
        directory = Path(path)
        for name, content in self.files(token_type_ids=token_type_ids).items():
            with atomic_write(directory / name) as temporary:
                temporary.write_bytes(content)


def _lowers(normalizer: Any) -> bool:
    """True if the description of a normalizer, or a part of it, makes upper case lower."""
    if not isinstance(normalizer, dict):
        return False
    lowers = normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True
    return lowers or any(map(_lowers, normalizer.get("normalizers", ())))

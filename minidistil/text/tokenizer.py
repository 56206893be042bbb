"""Text to token ids and back, over the Rust library `tokenizers`.

A directory holds either tokenizer.json, which says everything, or (as the first BERTs did) only
vocab.txt, around which BERT's pipeline is built (see tokenizer_files.py).
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import tokenizers

from minidistil.errors import ConfigError, InputError, UsageError
from minidistil.files import atomic_write
from minidistil.text.tokenizer_files import SPECIAL_TOKENS, read_tokenizer

log = logging.getLogger("minidistil")

DEFAULT_MAX_LENGTH = 512
CHUNK = 128  # texts a call of the Rust library; bounds the memory its Encoding objects take

Int32 = npt.NDArray[np.int32]
Truncation = bool | Literal["error"]


@dataclass(frozen=True)
class Encodings:
    """Tokenised texts, each of its own length.

    Attributes
    ----------
    input_ids, token_type_ids : list of int32 [length]
    raw : list of tokenizers.Encoding
        For what else the Rust library knows: `offsets`, `word_ids`, `sequence_ids`, `tokens`.
    truncated : int
        How many texts lost tokens.
    """

    input_ids: list[Int32]
    token_type_ids: list[Int32]
    raw: list[Any]
    truncated: int

    def __len__(self) -> int:
        return len(self.input_ids)


class TokenSpans(NamedTuple):
    """Tokens of N texts laid end to end, and where each stands in its text.

    Attributes
    ----------
    ids : int32 [T]
    lengths : int64 [N]
        Tokens of each text.
    spans : int64 [T, 2]
        Token t is made of the characters `text[spans[t, 0]:spans[t, 1]]`.
    word_ids : int64 [T]
        Which word of its text, counted from 0, a token is a piece of. Words are what the pre-tokenizer made.
    """

    ids: Int32
    lengths: npt.NDArray[np.int64]
    spans: npt.NDArray[np.int64]
    word_ids: npt.NDArray[np.int64]


class Tokenizer:
    """A tokenizer of the BERT family.

    Parameters
    ----------
    rust : tokenizers.Tokenizer
        Any pipeline whose post-processor adds [CLS] and [SEP].
    special_tokens : mapping, optional
        {"cls_token": "[CLS]", ...}; roles left out keep BERT's names.
    model_max_length : int
        Longest sequence the model takes, special tokens included.
    """

    def __init__(
        self,
        rust: Any,
        *,
        special_tokens: Mapping[str, str] | None = None,
        model_max_length: int = DEFAULT_MAX_LENGTH,
    ) -> None:
        self._rust = rust
        # A tokenizer.json may carry the padding and truncation its author last used.
        rust.no_padding()
        rust.no_truncation()
        self._lock = threading.Lock()  # truncation is a state of the Rust object
        self.special_tokens = {**SPECIAL_TOKENS, **(special_tokens or {})}
        self.model_max_length = model_max_length

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, *, revision: str | None = None) -> Self:
        """Load from a directory or a hub id.

        Raises
        ------
        ConfigError
            No tokenizer files, or files that cannot be read.
        MissingAssetError
            A hub id that cannot be fetched.
        """
        from minidistil.weights.hub import resolve
        from minidistil.weights.modules import encoder_directory

        directory = encoder_directory(Path(resolve(path_or_id, revision=revision)))
        rust, special, config = read_tokenizer(directory)
        limit = config.get("model_max_length")
        if not (isinstance(limit, int) and 2 < limit < 10**6):  # transformers writes 10^30 for "unknown"
            limit = DEFAULT_MAX_LENGTH
        return cls(rust, special_tokens=special, model_max_length=limit)

    def lowered(self) -> Self:
        """The same tokenizer, to which upper case is lower case; itself if it is that anyway.

        As sentence-transformers has it: special tokens in a text stay, accents too.
        """
        if _lowers(json.loads(self._rust.to_str()).get("normalizer")):
            return self
        rust = tokenizers.Tokenizer.from_str(self._rust.to_str())
        before = [] if rust.normalizer is None else [rust.normalizer]
        rust.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.Lowercase(), *before])
        other = copy.copy(self)
        other._rust, other._lock = rust, threading.Lock()
        return other

    # Vocabulary

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included."""
        return int(self._rust.get_vocab_size())

    @property
    def num_ids(self) -> int:
        """One more than the largest id: `vocab_size`, unless the vocabulary has gaps."""
        return 1 + int(max(self._rust.get_vocab().values()))

    def token_to_id(self, token: str) -> int | None:
        """Id of a token, or None if the vocabulary lacks it."""
        found: int | None = self._rust.token_to_id(token)
        return found

    def id_to_token(self, token_id: int) -> str | None:
        """Token of an id, or None if there is none."""
        found: str | None = self._rust.id_to_token(int(token_id))
        return found

    def _special_id(self, role: str) -> int:
        token = self.special_tokens[role]
        found = self.token_to_id(token)
        if found is None:
            raise ConfigError(f"the tokenizer's {role} {token!r} is not in its vocabulary")
        return found

    @property
    def cls_token_id(self) -> int:
        return self._special_id("cls_token")

    @property
    def sep_token_id(self) -> int:
        return self._special_id("sep_token")

    @property
    def pad_token_id(self) -> int:
        return self._special_id("pad_token")

    @property
    def unk_token_id(self) -> int:
        return self._special_id("unk_token")

    @property
    def mask_token_id(self) -> int:
        return self._special_id("mask_token")

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of [CLS], [SEP], [PAD], [UNK] and [MASK], as far as the vocabulary has them."""
        ids = (self.token_to_id(token) for token in self.special_tokens.values())
        return frozenset(i for i in ids if i is not None)

    def num_special_tokens(self, pair: bool) -> int:
        """How many [CLS], [SEP] and the like are put around a text, or around two."""
        return int(self._rust.num_special_tokens_to_add(pair))

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
            Longest result in tokens; never above `model_max_length`.
        truncation : bool or "error"
            True: cut what is longer (of a pair, the longer sentence first) and log one warning that
            says how many. False or "error": raise.

        Raises
        ------
        InputError
            Something that is not text, unequal numbers of texts and pairs, or a text too long.
        """
        ids: list[Int32] = []
        types: list[Int32] = []
        raw: list[Any] = []
        for encoding in self.iter_encode(texts, pairs, max_length=max_length, truncation=truncation):
            ids.append(np.array(encoding.ids, np.int32))
            types.append(np.array(encoding.type_ids, np.int32))
            raw.append(encoding)
        return Encodings(ids, types, raw, sum(bool(e.overflowing) for e in raw))

    def iter_encode(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int | None = None,
        truncation: Truncation = True,
    ) -> Iterator[Any]:
        """As `encode`, one tokenizers.Encoding after the other, in bounded memory."""
        check_texts("texts", texts)
        if pairs is not None:
            check_texts("pairs", pairs)
            if len(pairs) != len(texts):
                raise InputError(f"{len(texts)} texts but {len(pairs)} pairs")
        if truncation not in (True, False, "error"):
            raise UsageError(f'truncation must be True, False or "error", not {truncation!r}')
        limit = self.model_max_length if max_length is None else min(max_length, self.model_max_length)
        least = 1 + self.num_special_tokens(pairs is not None)
        if limit < least:
            raise UsageError(f"max_length must be at least {least} here, not {limit}")
        cut = 0
        for start in range(0, len(texts), CHUNK):
            chunk = list(texts[start : start + CHUNK])
            both = chunk if pairs is None else list(zip(chunk, pairs[start : start + CHUNK], strict=True))
            for i, encoding in enumerate(self._encode_batch(both, limit, truncation is True)):
                if len(encoding.ids) > limit:
                    raise InputError(
                        f"text {start + i} has {len(encoding.ids)} tokens, more than the maximum of {limit}; "
                        f"shorten it or allow truncation. It begins: {chunk[i][:60]!r}"
                    )
                cut += bool(encoding.overflowing)
                yield encoding
        if cut:
            log.warning("%d of %d texts are longer than %d tokens and were truncated", cut, len(texts), limit)

    def _encode_batch(self, inputs: list[Any], limit: int, truncate: bool) -> list[Any]:
        with self._lock:
            if truncate:
                self._rust.enable_truncation(limit, strategy="longest_first")
            try:
                encodings: list[Any] = self._rust.encode_batch(inputs)
            finally:
                self._rust.no_truncation()
        return encodings

    def encode_flat(self, texts: Sequence[str]) -> tuple[Int32, npt.NDArray[np.int64]]:
        """Ids of texts laid end to end, without special tokens, never cut: the fast way, for a corpus.

        Spans in the text are not worked out, which saves a fifth of the time and more. Several threads may
        call this at once: while one makes an array of its result, the Rust library encodes for another.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ids : int32 [T]
        lengths : int64 [N]
            Tokens of each text; 0 where nothing is left of it.

        Raises
        ------
        InputError
            Something that is not text.
        """
        fast = getattr(self._rust, "encode_batch_fast", self._rust.encode_batch)  # new in tokenizers 0.20.1
        try:
            with self._lock:
                encodings: list[Any] = fast(list(texts), add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            check_texts("texts", texts)
            raise
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        ids = chain.from_iterable(encoding.ids for encoding in encodings)
        return np.fromiter(ids, np.int32, int(lengths.sum())), lengths

    def encode_spans(self, texts: Sequence[str]) -> TokenSpans:
        """As `encode_flat`, with each token's characters and word.

        Parameters
        ----------
        texts : sequence of str

        Raises
        ------
        InputError
            Something that is not text.
        """
        check_texts("texts", texts)
        with self._lock:
            encodings: list[Any] = self._rust.encode_batch(list(texts), add_special_tokens=False)
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        total = int(lengths.sum())
        ids = chain.from_iterable(encoding.ids for encoding in encodings)
        ends = chain.from_iterable(chain.from_iterable(encoding.offsets) for encoding in encodings)
        words = chain.from_iterable(encoding.word_ids for encoding in encodings)
        return TokenSpans(
            ids=np.fromiter(ids, np.int32, total),
            lengths=lengths,
            spans=_without_spaces(texts, np.fromiter(ends, np.int64, 2 * total).reshape(-1, 2), lengths),
            word_ids=np.fromiter(words, np.int64, total),
        )

    def decode(self, ids: npt.ArrayLike, *, skip_special_tokens: bool = True) -> str:
        """Text of a sequence of ids: pieces joined, spaces before punctuation removed."""
        text: str = self._rust.decode(
            [int(i) for i in np.asarray(ids).reshape(-1)], skip_special_tokens=skip_special_tokens
        )
        return text

    # Saving

    def content_hash(self) -> str:
        """SHA-256 of all that decides which ids a text gets: vocabulary, pipeline, special tokens."""
        special = json.dumps(self.special_tokens, sort_keys=True)
        return hashlib.sha256(f"{special}\n{self._rust.to_str()}".encode()).hexdigest()

    def files(self, *, token_type_ids: bool = True) -> dict[str, bytes]:
        """Contents of the tokenizer's files, by name, as transformers reads them.

        Parameters
        ----------
        token_type_ids : bool
            Whether the model takes them (DistilBERT does not); written as `model_input_names`.
        """
        state = json.loads(self._rust.to_str())
        wordpiece = state["model"].get("type") == "WordPiece"
        normalizer = state.get("normalizer") or {}
        inputs = ["input_ids", "token_type_ids", "attention_mask"]
        config: dict[str, Any] = {
            "tokenizer_class": "BertTokenizer" if wordpiece else "PreTrainedTokenizerFast",
            "model_max_length": self.model_max_length,
            "model_input_names": inputs if token_type_ids else [n for n in inputs if n != "token_type_ids"],
            **self.special_tokens,
        }
        if normalizer.get("type") == "BertNormalizer":
            config["do_lower_case"] = normalizer["lowercase"]
            config["strip_accents"] = normalizer["strip_accents"]
            config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"]
        files = {
            "tokenizer.json": self._rust.to_str(pretty=True).encode(),
            "tokenizer_config.json": _json_bytes(config),
            "special_tokens_map.json": _json_bytes(self.special_tokens),
        }
        vocab = self._rust.get_vocab(with_added_tokens=False)
        in_order = sorted(vocab, key=vocab.__getitem__)
        # The line number is the id, so a vocabulary with gaps cannot be written this way.
        if wordpiece and vocab[in_order[-1]] == len(vocab) - 1:
            files["vocab.txt"] = "".join(f"{token}\n" for token in in_order).encode()
        return files

    def save(self, path: str | Path, *, token_type_ids: bool = True) -> None:
        """Write `files` into a directory, each through a temporary file and a rename."""
        directory = Path(path)
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in self.files(token_type_ids=token_type_ids).items():
            with atomic_write(directory / name) as temporary:
                temporary.write_bytes(content)


def _lowers(normalizer: Any) -> bool:
    """Whether the description of a normalizer, or a part of it, makes upper case lower."""
    if not isinstance(normalizer, dict):
        return False
    lowers = normalizer.get("type") == "Lowercase" or normalizer.get("lowercase") is True
    return lowers or any(map(_lowers, normalizer.get("normalizers", ())))


def _without_spaces(
    texts: Sequence[str], spans: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Spans that begin after the space before a word, which some tokenizers count as part of it.

    A token that is nothing but that space stands at the character after it.
    """
    starts, token = spans[:, 0].tolist(), 0
    for text, n in zip(texts, lengths.tolist(), strict=True):
        for start in starts[token : token + n]:
            if text[start : start + 1].isspace():
                start += len(text[start:]) - len(text[start:].lstrip())
                spans[token] = start, max(spans[token, 1], min(start + 1, len(text)))
            token += 1
    return spans


def check_texts(name: str, texts: Sequence[str]) -> None:
    """An InputError for what is not text; `name` is what messages call the list."""
    if isinstance(texts, str):
        raise InputError(f"{name} must be a list of strings; put the one string in a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"{name}[{i}] is not a string but {type(text).__name__}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"{name}[{i}] holds half of a surrogate pair, which is not text") from None


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()

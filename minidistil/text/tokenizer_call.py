"""Tokenizer as a function of texts, with the arguments, defaults and results of transformers' tokenizers.

Padding and truncation are settings of the Rust object there, which several threads may use at once. Here a
text is encoded whole, as everywhere in this package, and cut and padded afterwards.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from minidistil.arguments import check_choice, check_integer, check_names
from minidistil.errors import InputError, UsageError
from minidistil.text.batch_encoding import FIELDS, BatchEncoding, PaddedEncoding, Tensors, check_tensors
from minidistil.text.encodings import Frame, Side, Strategy, cut, cut_into_windows
from minidistil.text.texts import as_items, as_texts
from minidistil.text.vocabulary import Vocabulary

log = logging.getLogger("minidistil")

Padding = bool | Literal["longest", "max_length", "do_not_pad"]
CallTruncation = bool | Literal["longest_first", "only_first", "only_second", "do_not_truncate"] | None

# Values of padding, where each token has one; that of "input_ids" is `pad_token_id`.
FILLS = {"input_ids": 0, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1}


class Width(NamedTuple):
    """Length that encodings are padded to.

    Attributes
    ----------
    length : int or None
        None for that of the longest.
    multiple : int
        The length is rounded up to a multiple of it.
    side : {"left", "right"}
        Where padding goes.
    """

    length: int | None
    multiple: int
    side: Side

    def of(self, lengths: Sequence[int]) -> int:
        """Length for rows of these lengths."""
        longest = max(lengths, default=0) if self.length is None else self.length
        return -(-longest // self.multiple) * self.multiple


class Cutting(NamedTuple):
    """Truncation of the encodings of a call.

    Attributes
    ----------
    strategy : str or None
        None cuts nothing.
    limit : int or None
        Longest encoding in tokens.
    side : {"left", "right"}
    owners : sequence of int
        See `cut`.
    stride : int
    windows : bool
        Keep what is cut off, in further windows.
    """

    strategy: Strategy | None
    limit: int | None
    side: Side
    owners: Sequence[int]
    stride: int
    windows: bool

    def parts(self, encoding: Any, i: int) -> list[Any]:
        """Parts of the encoding of text `i`: the part that stays, and its windows."""
        if self.strategy is None or self.limit is None or len(encoding) <= self.limit:
            return [encoding]
        how = self.limit, self.side, self.owners, self.strategy
        try:
            return cut_into_windows(encoding, *how, self.stride) if self.windows else [cut(encoding, *how)]
        except InputError as error:
            raise InputError(f"text {i}: {error}", index=i) from None


class CallableTokenizer(Vocabulary):
    """Base of `Tokenizer`: calls with one text or with many, and the padding of their results.

    Attributes
    ----------
    frames : {bool: Frame}
        Special tokens around a text (False) and a pair (True).
    model_max_length : int or None
    truncation_side, padding_side : {"right", "left"}
    """

    frames: Mapping[bool, Frame]
    model_max_length: int | None
    truncation_side: Side
    padding_side: Side
    is_fast = True

    @property
    def model_input_names(self) -> list[str]:
        """Inputs that the model takes, as the files say; a call returns them by default."""
        raise NotImplementedError

    def whole_encodings(
        self, rows: Sequence[Any], pair: bool, *, add_special_tokens: bool = True, words: bool = False
    ) -> Iterator[Any]:
        """Encode texts or pairs, one tokenizers.Encoding after the other, without cutting any."""
        raise NotImplementedError

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: Padding = False,
        truncation: CallTruncation = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_tensors: Tensors | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        **unknown: Any,
    ) -> BatchEncoding:
        """Tokenise one text or many, or pairs, as transformers does.

        Parameters
        ----------
        text : str, or a list of str or of pairs (str, str)
            Anything with an order will do for a list: an array, a column of a table, an iterator.
        text_pair : str or list of str, optional
            Second texts.
        padding : bool, "longest" or "max_length"
            Pad to the longest text, or to `max_length` (`model_max_length` by default).
        truncation : bool, "longest_first", "only_first" or "only_second"
            Cut what is longer than `max_length` (`model_max_length` by default): of a pair the longer text
            first, or one alone. With `max_length`, and no padding, texts are cut unless it is False.
        stride : int
            Tokens that a window has in common with the one before, for `return_overflowing_tokens`.
        is_split_into_words : bool
            Texts are lists of words. Byte-level BPE reads a space before each, the first too, as it does in
            transformers with add_prefix_space=True, which is an error without.
        pad_to_multiple_of : int, optional
            Round the length that is padded to up to a multiple.
        padding_side : {"right", "left"}, optional
            `tokenizer.padding_side` by default.
        return_tensors : "np", optional
            Arrays int64 [B, L] in place of lists.
        return_token_type_ids, return_attention_mask : bool, optional
            By default if the model takes them.
        return_overflowing_tokens : bool
            Return what is cut off as further windows; "overflow_to_sample_mapping" has the text of each.
        return_special_tokens_mask, return_offsets_mapping, return_length : bool
            Return "special_tokens_mask", "offset_mapping" (characters of each token), "length" too.
        **unknown
            Refused, with the nearest name.

        Returns
        -------
        BatchEncoding
            Of one text lists [L], unless arrays are asked for.

        Raises
        ------
        InputError
            Something that is not text; rows that make no array; a text that cannot be cut as asked.
        UsageError
            An argument that makes no sense.
        """
        if unknown:
            *known, _ = inspect.signature(self.__call__).parameters
            check_names("a tokenizer", "argument", unknown, known)
        rows, pair, batched = _inputs(text, text_pair, is_split_into_words)
        if return_tensors is not None:
            check_tensors(return_tensors)
        strategy, limit = self._truncation(truncation, max_length, padding)
        width = self._width(padding, max_length, pad_to_multiple_of, padding_side)
        if strategy is not None and width is not None and limit is not None and limit % width.multiple:
            raise UsageError(
                f"max_length {limit} is not a multiple of {width.multiple}, which texts are padded to"
            )
        check_integer("stride", stride, 0)
        owners = self.frames[pair].owners if add_special_tokens else (0, 1)[: 1 + pair]
        least = max(1, owners.count(-1))
        if strategy is not None and limit is not None and limit < least:
            raise UsageError(f"max_length must be at least {least} here, not {limit}")
        if strategy is None and padding in (True, "longest") and max_length is not None:
            log.warning("max_length says nothing here: padding is to the longest text, and none is truncated")

        encodings: list[Any] = []
        samples: list[int] = []
        whole = self.whole_encodings(
            rows, pair, add_special_tokens=add_special_tokens, words=is_split_into_words
        )
        cutting = Cutting(strategy, limit, self.truncation_side, owners, stride, return_overflowing_tokens)
        for i, encoding in enumerate(whole):
            parts = cutting.parts(encoding, i)
            encodings += parts
            samples += [i] * len(parts)
        too_long = 0
        if strategy is None and max_length is None and limit is not None:
            too_long = sum(len(encoding) > limit for encoding in encodings)
        if too_long:
            log.warning(
                "%d of %d texts are longer than the %d tokens of the model; truncation=True would cut them",
                too_long,
                len(rows),
                limit,
            )
        if width is not None:
            length = width.of([len(encoding) for encoding in encodings])
            encodings = [
                encoding
                if len(encoding) >= length
                else PaddedEncoding(encoding, length, width.side, self.pad_token, self.pad_token_id)
                for encoding in encodings
            ]

        wanted = {
            "input_ids": True,
            "token_type_ids": self._by_default("token_type_ids", return_token_type_ids),
            "attention_mask": self._by_default("attention_mask", return_attention_mask),
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
        }
        values: dict[str, Any] = {
            name: [getattr(encoding, FIELDS[name]) for encoding in encodings]
            for name, returned in wanted.items()
            if returned
        }
        if not batched and return_tensors is None and not return_overflowing_tokens:
            values = {name: value[0] for name, value in values.items()}
        if return_length:
            values["length"] = [len(encoding) for encoding in encodings]
        if return_overflowing_tokens:
            values["overflow_to_sample_mapping"] = samples
        return BatchEncoding(values, encodings, return_tensors)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """Tokens of a text; `options` are those of a call."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def pad(
        self,
        encoded_inputs: Any,
        padding: Padding = True,
        *,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: Tensors | None = None,
    ) -> BatchEncoding:
        """Pad what was encoded before, such as the examples that become a batch.

        Parameters
        ----------
        encoded_inputs : mapping, or list of mappings
            "input_ids" and others, for one text, or for many; or such a mapping for each text. What has no
            value for each token, such as labels, stays as it is.
        padding, max_length, pad_to_multiple_of, padding_side, return_attention_mask, return_tensors
            As of a call. Arrays give arrays.

        Raises
        ------
        InputError
            No "input_ids", or examples with other names than the first.
        """
        values = _gathered(encoded_inputs)
        ids = values["input_ids"]
        if return_tensors is None and isinstance(ids if len(ids) == 0 else ids[0], (np.ndarray, np.integer)):
            return_tensors = "np"
        one = not len(ids) or np.ndim(ids[0]) == 0
        rows = {
            name: [list(row) for row in ([value] if one else value)]
            for name, value in values.items()
            if name in FILLS
        }
        lengths = [len(row) for row in rows["input_ids"]]
        if self._by_default("attention_mask", return_attention_mask):
            rows.setdefault("attention_mask", [[1] * n for n in lengths])
        width = self._width(padding, max_length, pad_to_multiple_of, padding_side)
        if width is not None:
            length, fills = width.of(lengths), {**FILLS, "input_ids": self.pad_token_id}
            for name, some in rows.items():
                pads = [[fills[name]] * (length - len(row)) for row in some]
                both = zip(pads, some, strict=True)
                rows[name] = [p + row if width.side == "left" else row + p for p, row in both]
        padded = {name: some[0] if one else some for name, some in rows.items()}
        return BatchEncoding({**values, **padded}, tensor_type=return_tensors)

    def _by_default(self, name: str, asked: bool | None) -> bool:
        return name in self.model_input_names if asked is None else asked

    def _truncation(
        self, truncation: CallTruncation, max_length: int | None, padding: Padding
    ) -> tuple[Strategy | None, int | None]:
        """The texts to cut, and to what length. Without the first the length is only what a model takes."""
        if max_length is not None:
            check_integer("max_length", max_length, 1)
        limit = self.model_max_length if max_length is None else max_length
        if truncation is None and max_length is not None and padding is False:
            truncation = True
        if truncation in (None, False, "do_not_truncate"):
            return None, limit
        if truncation is True:
            return "longest_first", limit
        check_choice("truncation", truncation, ("longest_first", "only_first", "only_second"))
        return truncation, limit  # type: ignore[return-value]

    def _width(
        self, padding: Padding, max_length: int | None, multiple: int | None, side: Side | None
    ) -> Width | None:
        """Length to pad to; None without padding, and where "max_length" is known to nobody."""
        side = self.padding_side if side is None else side
        check_choice("padding_side", side, ("right", "left"))
        if multiple is not None:
            check_integer("pad_to_multiple_of", multiple, 1)
        if padding in (False, "do_not_pad"):
            return None
        if padding in (True, "longest"):
            return Width(None, multiple or 1, side)
        check_choice("padding", padding, ("longest", "max_length"))
        length = self.model_max_length if max_length is None else max_length
        return None if length is None else Width(length, multiple or 1, side)


def _inputs(text: Any, pair: Any, words: bool) -> tuple[list[Any], bool, bool]:
    """Texts as the Rust library takes them, whether they are pairs, and whether they are a batch."""
    checked = _as_words if words else as_texts
    if not isinstance(text, str) or words:
        text = as_items("text", text)
    if isinstance(text, str) or (words and not (text and not isinstance(text[0], str))):
        if pair is None or (isinstance(pair, (str, list, tuple)) and not pair):  # as in transformers
            return checked("text", [text]), False, False
        if isinstance(pair, str) != isinstance(text, str):
            raise InputError("text and text_pair must be of one kind: two texts, or two lists of words")
        return [(checked("text", [text])[0], checked("text_pair", [pair])[0])], True, False
    if pair is None and not words and any(isinstance(row, (tuple, list)) for row in text):
        text, pair = _unzipped(text)
    texts = checked("text", text)
    if pair is None:
        return texts, False, True
    pairs = checked("text_pair", as_items("text_pair", pair))
    if len(pairs) != len(texts):
        raise InputError(f"{len(texts)} texts but {len(pairs)} second texts in text_pair")
    return list(zip(texts, pairs, strict=True)), True, True


def _unzipped(rows: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """First and second texts of pairs."""
    for i, row in enumerate(rows):
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            raise InputError(
                f"text[{i}] is not a pair of texts, as others are: {row!r:.60}. (Lists of words need "
                "is_split_into_words=True)"
            )
    return [row[0] for row in rows], [row[1] for row in rows]


def _as_words(name: str, rows: Sequence[Any]) -> list[list[str]]:
    return [as_texts(f"{name}[{i}]", row) for i, row in enumerate(rows)]


def _gathered(encoded: Any) -> dict[str, Any]:
    """One mapping of lists from a list of mappings, or the mapping itself."""
    if not isinstance(encoded, Mapping):
        rows = as_items("encoded_inputs", encoded)
        for i, row in enumerate(rows):
            if not isinstance(row, Mapping) or set(row) != set(rows[0]):
                raise InputError(f"encoded_inputs[{i}] must be a mapping with the names of the first")
        encoded = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    if "input_ids" not in encoded:
        raise InputError(f"input_ids are padded; there are: {', '.join(map(str, encoded)) or 'none'}")
    return dict(encoded)

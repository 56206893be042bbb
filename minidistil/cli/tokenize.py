"""minidistil tokenize"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from minidistil.cli import common

if TYPE_CHECKING:
    from minidistil.text.tokenizer import Tokenizer

HELP = "show the tokens of texts: pieces, ids, characters, words"
EXAMPLES = """\
  minidistil tokenize minilm "An unaffable film, at 3.5 stars."
  minidistil tokenize minilm "a warm film" --pair "it is funny"
  minidistil tokenize runs/demo/student "one two three four five" --max-length 5
  cat sentences.txt | minidistil tokenize minilm --json

A line has the number of a token, its piece, its id, its characters in the text (from, and up to), the number
of its word, its token type, and "special" for [CLS] and the like. A token that is cut
off, because the text is longer than --max-length, has "cut" there, and no number. Words are those of the
tokenizer: a punctuation mark is one. MODEL may be a directory that holds a tokenizer and no model."""

HEAD = ("", "token", "id", "characters", "word", "type", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="directory, name (minilm) or hub id of a model, or of a tokenizer")
    parser.add_argument("texts", **common.TEXTS)
    parser.add_argument("--pair", metavar="TEXT", help="the second text of each")
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="most tokens, special ones among them (default: what the tokenizer says, if it does)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a text")


def run(args: argparse.Namespace) -> int:
    from minidistil.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_pretrained(args.model)
    blank = False
    for text in _texts(args):
        tokens = tokens_of(tokenizer, text, args.pair, args.max_length)
        if args.json:
            pair = {} if args.pair is None else {"pair": args.pair}
            common.print_json(text=text, **pair, tokens=tokens)
            continue
        if blank:
            print()
        blank = True
        print("\n".join(table(tokens)))
    return 0


def _texts(args: argparse.Namespace) -> Iterator[str]:
    """Texts of the command line, and lines of standard input."""
    import sys

    from minidistil.errors import DataError
    from minidistil.streams import is_terminal, say
    from minidistil.text.sources import STDIN, shown_name
    from minidistil.text.tables import read_rows

    for text in args.texts or [STDIN]:
        if text != STDIN:
            yield text
            continue
        if is_terminal(sys.stdin) and not args.quiet:
            say("One text a line; Ctrl-D ends.")
        empty = True
        for _, row in read_rows(STDIN, format="text", blank=True):
            empty = False
            yield row["text"]
        if empty:
            raise DataError("there is no text in it", path=shown_name(STDIN))


def tokens_of(
    tokenizer: Tokenizer, text: str, pair: str | None = None, max_length: int | None = None
) -> list[dict[str, Any]]:
    """Tokens of a text or a pair, with those that are cut off.

    Parameters
    ----------
    tokenizer : Tokenizer
    text, pair : str
    max_length : int, optional
        By default the tokenizer's own, if it has one.

    Returns
    -------
    list of dict
        "token", "id", "start" and "end" (characters of its text; None for a special token), "word" (from 0 in
        each text), "text" (0, of a pair 0 or 1; None for a special token), "type", "special", "cut".

    Raises
    ------
    UsageError
        `max_length` leaves no room for a token.
    """
    from minidistil.text.encodings import CutEncoding

    pairs = None if pair is None else [pair]
    limit = tokenizer.model_max_length if max_length is None else max_length
    (whole,) = tokenizer.with_max_length(None).iter_encode([text], pairs)
    unknown = tokenizer.token_to_id(tokenizer.special_tokens["unk_token"])
    named = tokenizer.special_ids - {unknown}
    kept = set(range(len(whole)))
    if limit is not None:
        (read,) = tokenizer.iter_encode([text], pairs, max_length=limit)
        if isinstance(read, CutEncoding):
            kept = {i for part in read.kept for i in range(part.start, part.stop)}
    types = tokenizer.types_of(whole).tolist()
    found: list[dict[str, Any]] = []
    for i, (token, number, (start, end), word, owner) in enumerate(
        zip(
            map(tokenizer.id_to_token, whole.ids),
            whole.ids,
            whole.offsets,
            whole.word_ids,
            whole.sequence_ids,
            strict=True,
        )
    ):
        outside = owner is None
        found.append(
            {
                "token": token, "id": number,
                "start": None if outside else start, "end": None if outside else end,
                "word": word, "text": owner, "type": types[i], "special": outside or number in named,
                "cut": i not in kept,
            }
        )  # fmt: skip
    return found


def table(tokens: list[dict[str, Any]]) -> list[str]:
    """Tokens as lines of aligned columns."""
    rows, number = [HEAD], 0
    for token in tokens:
        characters = "" if token["text"] is None else f"{token['start']}-{token['end']}"
        word = "" if token["word"] is None else str(token["word"])
        mark = "cut" if token["cut"] else "special" if token["special"] else ""
        place = "" if token["cut"] else str(number)
        rows.append((place, token["token"], str(token["id"]), characters, word, str(token["type"]), mark))
        number += not token["cut"]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    left = (1, 6)  # columns of words; numbers stand on the right
    return [
        "  ".join(
            f"{cell:<{width}}" if i in left else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

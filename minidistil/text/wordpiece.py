"""A new WordPiece vocabulary, made of text (Schuster and Nakajima 2012; BERT: Devlin et al. 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from minidistil.errors import ConfigError, DataError
from minidistil.files import atomic_directory, read_json
from minidistil.progress import Progress
from minidistil.text.added_tokens import SPECIAL_TOKENS
from minidistil.text.corpus.files import Source, SourceReader, find_sources
from minidistil.text.tokenizer import Tokenizer

MADE_OF = "made_of.json"
LEAST = 100  # so small a vocabulary has no room for the letters


def train_wordpiece(
    inputs: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    size: int = 30_522,
    lowercase: bool = True,
    text_key: str = "text",
    replace: bool = False,
    quiet: bool = False,
) -> Tokenizer:
    """Make a vocabulary, or open the one that has been made of the same text with the same settings.

    The `tokenizers` library counts words and merges pieces. BERT's text cleaning goes before: control
    characters dropped, Chinese characters set apart, lower case without accents where asked for.

    Parameters
    ----------
    inputs : path, or several
        Text, as for `encode_corpus`.
    out : path
        Directory for vocab.txt, tokenizer_config.json and made_of.json; it appears whole or not at all.
    size : int
        Entries at most, the five special tokens among them. Little text gives fewer.
    lowercase : bool
    text_key : str
        Key of the text in a JSON object.
    replace : bool
        Whether one that was made of something else gives way.
    quiet : bool
        Show no progress.

    Raises
    ------
    ConfigError
        `size` is below 100, or `out` holds a vocabulary that was made of something else.
    DataError
        No text, or something that is not text (file and line named).
    """
    if size < LEAST:
        raise ConfigError(f"a vocabulary of {size} is too small: expected {LEAST} or more")
    out = Path(out)
    sources = find_sources(inputs, leave_out=out.parent, quiet=quiet)
    settings = {"size": size, "lowercase": lowercase, "text_key": text_key}
    plan = {**settings, "sources": [[source.size, source.sha256] for source in sources]}
    before = read_json(out / MADE_OF, DataError) if (out / MADE_OF).exists() else None
    if before is not None and before != plan and not replace:
        raise ConfigError(
            f"{out} holds a vocabulary of something else: choose another directory, or remove it"
        )
    if before != plan or not (out / "vocab.txt").exists():
        rust = tokenizers.Tokenizer(models.WordPiece(unk_token=SPECIAL_TOKENS["unk_token"]))
        rust.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        # [PAD] is 0 and [UNK] 1, as nearly everywhere.
        special = [SPECIAL_TOKENS[f"{role}_token"] for role in ("pad", "unk", "cls", "sep", "mask")]
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
        rust.train_from_iterator(_pieces(sources, text_key, quiet), trainer)
        by_id = sorted(rust.get_vocab().items(), key=lambda item: item[1])
        config = {"do_lower_case": lowercase, "tokenizer_class": "BertTokenizer", **SPECIAL_TOKENS}
        with atomic_directory(out) as temporary:
            text = "".join(f"{token}\n" for token, _ in by_id)
            (temporary / "vocab.txt").write_text(text, encoding="utf-8")
            (temporary / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
            (temporary / MADE_OF).write_text(json.dumps(plan, indent=2), encoding="utf-8")
    return Tokenizer.from_pretrained(out)


def _pieces(sources: list[Source], text_key: str, quiet: bool) -> Iterator[str]:
    """All text, with progress."""
    total = sum(source.size for source in sources)
    with Progress(total // 10**6, "counting words", "MB", quiet=quiet) as progress:
        done = 0
        for source in sources:
            for piece in SourceReader(source, text_key):
                yield piece.text
            progress.update((done + source.size) // 10**6 - done // 10**6)
            done += source.size

"""Vocabularies of a student and its teacher: compared, and exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from minidistil.errors import ConfigError
from minidistil.model.model import Model
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.vocabulary_files import has_tokenizer

TEXTS = 1000  # that two tokenizers are compared on
# Capitals, accents, digits, punctuation and other scripts, on which tokenizers of one vocabulary may differ.
PROBE = "The Café's 2nd floor, in ZÜRICH: 12.50 € (don't ask) 你好 naïve co-operation #mail@home.org"


def check_same_ids(
    ours: Tokenizer, theirs: Tokenizer, texts: Sequence[str] = (), *, names: Sequence[str]
) -> None:
    """Refuse a teacher that would read the student's token ids as other words.

    Parameters
    ----------
    ours, theirs : Tokenizer
        The student's and the teacher's.
    texts : sequence of str
        Texts of the training; the first 1,000 are compared.
    names : sequence of str
        Names of student and teacher, for messages.

    Raises
    ------
    ConfigError
        An id is another token, or a text has other ids.
    """
    found = difference(ours, theirs, texts)
    if found is not None:
        student, teacher = names
        raise ConfigError(
            f"{teacher} has another vocabulary than {student}: {found}. What one model says of a token tells "
            "the other nothing; take two models with the same tokenizer"
        )


def saved_tokenizer(directory: Path) -> Tokenizer | None:
    """The tokenizer of a model's directory; None if there is none."""
    return Tokenizer.from_pretrained(directory) if has_tokenizer(directory) else None


def difference(ours: Tokenizer, theirs: Tokenizer, texts: Sequence[str] = ()) -> str | None:
    """Differences between the ids of two tokenizers, in words; None if they are the same."""
    if ours.content_hash() == theirs.content_hash():
        return None
    for i in range(min(ours.num_ids, theirs.num_ids)):
        here, there = ours.id_to_token(i), theirs.id_to_token(i)
        if here != there:
            return f"token {i} is {there!r} there, {here!r} here"
    if ours.vocab_size != theirs.vocab_size:
        return f"{theirs.vocab_size} tokens there, {ours.vocab_size} here"
    some = [PROBE, *islice(texts, TEXTS)]
    for text, a, b in zip(some, ours.iter_encode(some), theirs.iter_encode(some), strict=True):
        if a.ids != b.ids:
            return f"it reads {text!r:.60} as other tokens"
    return None


def with_vocabulary(model: Model, old: Tokenizer, new: Tokenizer, *, seed: int = 0) -> Model:
    """The same encoder for another vocabulary.

    A word that the old vocabulary has keeps its vector. Another starts as the mean of the vectors of the
    pieces that the old tokenizer cuts it into (Gee et al. 2022, "Fast Vocabulary Transfer for Language Model
    Compression"), and, where these are unknown words alone, from new weights.

    Parameters
    ----------
    model : Model
        An encoder without words in its head.
    old, new : Tokenizer
    seed : int
        For new weights.
    """
    changes = {"vocab_size": new.vocab_size, "pad_token_id": new.pad_token_id}
    other = type(model)(
        model.config.replace(**changes), dtype=model.params.dtype, backend=model.backend.name, seed=seed
    )
    name = model.encoder.embeddings.word.name
    for parameter in model.params:
        if parameter != name:
            other.params[parameter][...] = model.params[parameter]
    table, words = model.params[name], other.params[name]
    unknown = old.token_to_id(old.special_tokens["unk_token"])
    roles = {token: old.special_tokens[role] for role, token in new.special_tokens.items()}
    for i in range(len(words)):
        token = new.id_to_token(i) or ""
        same = old.token_to_id(roles.get(token, token))
        if same is not None:
            words[i] = table[same]
            continue
        encoding = next(iter(old.iter_encode([token.removeprefix("##")])))
        pieces = [piece for piece in encoding.ids if piece not in old.special_ids and piece != unknown]
        if pieces:
            words[i] = table[pieces].mean(0)
    return other

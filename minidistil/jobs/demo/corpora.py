"""Real text for the demonstration: sentences rated by twenty people each, with a fixed held-out split.

From Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
Text", ICWSM 2014. Its README says the movie sentences come from the 2,000 reviews of Pang and Lee 2004.
See `assets.fetch_reviews`.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from minidistil.errors import DataError, UsageError
from minidistil.jobs.demo.assets import fetch_reviews

KINDS = ("movie", "amazon", "nyt", "tweets")
HELD_OUT = 1500


class Rating(NamedTuple):
    """A sentence, and the mean of about twenty ratings of it, from -4 (most negative) to 4."""

    id: str  # its number in the file
    rating: float
    text: str


class Split(NamedTuple):
    """Sentences and their classes, 1 positive and 0 negative."""

    train_texts: list[str]
    train_labels: list[int]
    test_texts: list[str]
    test_labels: list[int]


def load_reviews(kind: str) -> list[Rating]:
    """All rated sentences of a kind: "movie", "amazon", "nyt" (editorials) or "tweets", in file order.

    Raises
    ------
    MissingAssetError
        They cannot be fetched.
    """
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is none of {', '.join(KINDS)}")
    path = fetch_reviews() / f"{kind}.txt"
    ratings = []
    # split, not splitlines: only a line feed ends a line here
    for number, line in enumerate(path.read_bytes().decode().removesuffix("\n").split("\n"), 1):
        try:
            name, rating, text = line.rstrip("\r").split("\t")
            ratings.append(Rating(name, float(rating), text.strip()))
        except ValueError as error:
            raise DataError("expected id, rating and text between tabs", path=path, line=number) from error
    return ratings


def movie_split(held_out: int = HELD_OUT) -> Split:
    """Movie-review sentences as a task of two classes, the same split everywhere and always.

    Rated above 0 is positive, below is negative, 0 is dropped: 10,568 sentences. Sorted by the SHA-256 of
    their text, the first `held_out` are for testing, the others, in that order, for training; so the first
    N of the training set are a fixed random sample too. Training sentences whose words are those of a
    held-out one are left out (there are none at the default size).
    """
    rated = [r for r in load_reviews("movie") if r.rating != 0]
    rated.sort(key=lambda r: (hashlib.sha256(r.text.encode()).digest(), r.rating))
    test, rest = rated[:held_out], rated[held_out:]
    tested = {_words(r.text) for r in test}
    train = [r for r in rest if _words(r.text) not in tested]
    return Split(
        train_texts=[r.text for r in train],
        train_labels=[int(r.rating > 0) for r in train],
        test_texts=[r.text for r in test],
        test_labels=[int(r.rating > 0) for r in test],
    )


def other_texts(held_out: int = HELD_OUT) -> list[str]:
    """About 13,000 sentences of other kinds, for training without labels; none is in the held-out split."""
    tested = {_words(text) for text in movie_split(held_out).test_texts}
    texts = [r.text for kind in KINDS if kind != "movie" for r in load_reviews(kind)]
    return [text for text in texts if text and _words(text) not in tested]


def _words(text: str) -> str:
    """Letters and digits only, in one case: what is left when spacing and punctuation differ."""
    return "".join(c for c in text.casefold() if c.isalnum()) or text

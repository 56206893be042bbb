"""The fixed split of the movie sentences, on a small stand-in for the real files."""

from __future__ import annotations

import pytest

from minidistil.errors import DataError, UsageError
from minidistil.jobs.demo import corpora
from minidistil.jobs.demo.corpora import Rating, load_reviews, movie_split, other_texts


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    movies = [(f"{i - 50}.5" if i != 40 else "0", f"film number {i}, naïve and plain") for i in range(90)]
    movies += [("1.0", "film number 7, naïve and plain"), ("0.0", "so so")]
    lines = [f"{i}\t{rating}\t{text}" for i, (rating, text) in enumerate(movies, 1)]
    (tmp_path / "movie.txt").write_bytes("\r\n".join(lines).encode())
    (tmp_path / "amazon.txt").write_bytes(b"1_1\t-0.9\t no picture \r\n1_2\t1\tline\xc2\x85separator")
    (tmp_path / "nyt.txt").write_bytes(b"1_1\t0\tNews.")
    (tmp_path / "tweets.txt").write_bytes(b"1\t3\t:)\r\n2\t1\tlol")
    monkeypatch.setattr(corpora, "fetch_reviews", lambda: tmp_path)
    return tmp_path


def test_load(reviews):
    assert load_reviews("amazon") == [
        Rating("1_1", -0.9, "no picture"),
        Rating("1_2", 1.0, "line\x85separator"),
    ]
    assert len(load_reviews("movie")) == 92
    with pytest.raises(UsageError, match="movie, amazon"):
        load_reviews("films")


def test_load_names_a_bad_line(reviews):
    (reviews / "nyt.txt").write_bytes(b"1\t2\tfine\r\n2\tbroken")
    with pytest.raises(DataError, match=r"nyt.txt, line 2"):
        load_reviews("nyt")


def test_split_is_fixed_disjoint_and_labelled(reviews):
    split = movie_split(held_out=20)
    ratings = {}
    for r in load_reviews("movie"):
        ratings.setdefault(r.text, set()).add(r.rating)
    assert len(split.test_texts) == len(split.test_labels) == 20
    assert not set(split.test_texts) & set(split.train_texts)
    assert len(split.train_texts) == 70  # 90 have a rating other than 0
    for text, label in zip(
        split.train_texts + split.test_texts, split.train_labels + split.test_labels, strict=True
    ):
        assert any((rating > 0) == bool(label) for rating in ratings[text] if rating != 0)
    # Pinned: the order is that of the SHA-256 of the text, whatever the order of the file.
    assert split.test_texts[:3] == [
        "film number 81, naïve and plain",
        "film number 78, naïve and plain",
        "film number 69, naïve and plain",
    ]
    lines = (reviews / "movie.txt").read_bytes().split(b"\r\n")
    (reviews / "movie.txt").write_bytes(b"\r\n".join(reversed(lines)))
    assert movie_split(held_out=20) == split


def test_doubles_never_straddle_the_split(reviews):
    for held_out in range(1, 90):
        split = movie_split(held_out)
        assert len(split.test_texts) == held_out
        assert not set(split.test_texts) & set(split.train_texts)


def test_other_texts_leave_out_the_held_out(reviews):
    assert other_texts(held_out=5) == ["no picture", "line\x85separator", "News.", ":)", "lol"]
    seen = movie_split(5).test_texts[0]
    (reviews / "nyt.txt").write_bytes(f"1\t0\t{seen.upper()} !\r\n2\t0\tNews.".encode())
    assert other_texts(held_out=5) == ["no picture", "line\x85separator", "News.", ":)", "lol"]

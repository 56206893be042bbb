"""The rated sentences of the demonstration, which any machine with pip can get."""

from __future__ import annotations

from pathlib import Path

from minidistil.weights.assets import fetch
from minidistil.weights.encoders import Archive, Asset

_RATINGS = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz!hutto_ICWSM_2014/"
REVIEWS = Asset(
    name="vader-ratings",
    title="rated sentences of Hutto and Gilbert, ICWSM 2014 (MIT)",
    archive=Archive(
        package="vaderSentiment",
        version="3.3.2",
        name="vaderSentiment-3.3.2.tar.gz",
        # As the public Python package index served and listed it in November 2026.
        sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        size=2_466_783,
    ),
    members={
        "movie.txt": _RATINGS + "movieReviewSnippets_GroundTruth.txt",
        "amazon.txt": _RATINGS + "amazonReviewSnippets_GroundTruth.txt",
        "nyt.txt": _RATINGS + "nytEditorialSnippets_GroundTruth.txt",
        "tweets.txt": _RATINGS + "tweets_GroundTruth.txt",
        "README.txt": _RATINGS + "_README_.txt",
        "LICENSE": "vaderSentiment-3.3.2/LICENSE.txt",
    },
    largest=8 << 20,
)


def fetch_reviews() -> Path:
    """The directory of the rated sentences, fetched (2.5 MB) and unpacked the first time.

    Raises as `minidistil.weights.assets.fetch` does.
    """
    return fetch(REVIEWS)

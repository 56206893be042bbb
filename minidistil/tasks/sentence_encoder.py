"""A sentence encoder: a model, its tokenizer, and how the vectors of tokens become one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.files import atomic_directory
from minidistil.model import load_model
from minidistil.model.base import Model
from minidistil.model.pooling import check_pooling
from minidistil.progress import Progress
from minidistil.tasks.embeddings import embed
from minidistil.text.dataset import Dataset
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve
from minidistil.weights.sentence_transformers import Embedding, read_embedding, write_embedding


class SentenceEncoder:
    """Texts to vectors: `SentenceEncoder.from_pretrained("encoder/").encode(["a warm film"])`.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    tokenizer : Tokenizer
    embedding : Embedding
        How tokens are pooled, whether vectors have length 1, and where texts are cut: never beyond what
        the model takes. By default the mean, length 1, and there.

    Raises
    ------
    UsageError
        An unknown pooling.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, embedding: Embedding | None = None) -> None:
        embedding = Embedding() if embedding is None else embedding
        room = min(model.config.max_position_embeddings, tokenizer.model_max_length)
        length = room if embedding.max_length is None else min(embedding.max_length, room)
        check_pooling(embedding.pooling)
        self.model, self.tokenizer = model, tokenizer
        self.embedding = embedding._replace(max_length=length)

    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, **options: Any) -> Self:
        """Load a directory or a hub id, of sentence-transformers or of any encoder.

        Parameters
        ----------
        path_or_id : directory or hub id
            What its sentence-transformers files say is followed; see `read_embedding`.
        **options
            `pooling`, `normalize` and `max_length` in place of the directory's, others as for
            `Model.from_pretrained`.

        Raises
        ------
        ConfigError, WeightsError, MissingAssetError, UsageError
        """
        path = resolve(str(path_or_id))
        changes = {name: options.pop(name) for name in Embedding._fields if name in options}
        embedding = read_embedding(path)._replace(**changes)
        model = load_model(path, **{"mapped": True, **options}).eval()
        return cls(model, Tokenizer.from_pretrained(path), embedding)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.model.config.hidden_size

    def __call__(self, texts: str | Sequence[str]) -> npt.NDArray[np.float32]:
        """The vector of one text, float32 [H], or of several, [N, H]; see `encode`."""
        return self.encode([texts])[0] if isinstance(texts, str) else self.encode(texts)

    def encode(self, texts: Sequence[str], *, quiet: bool = True) -> npt.NDArray[np.float32]:
        """A vector for every text, float32 [N, H], in their order.

        Batches are made by length inside. What a text's vector is does not depend on the others or on their
        order: bit for bit where matrix products are minidistil's own, else but for rounding. A text that is
        too long is cut, and one warning says how many were. An empty one has the vector of [CLS] [SEP].

        Parameters
        ----------
        texts : sequence of str
        quiet : bool
            Show no progress.

        Raises
        ------
        InputError
            Something that is not text.
        UsageError
            A max_length that leaves no room for a token.
        """
        pooling, normalize, length = self.embedding
        vectors = np.zeros((len(texts), self.width), np.float32)
        with Progress(len(texts), "embedding", "text", quiet=quiet) as progress:
            for part in Dataset.in_parts(self.tokenizer, texts, max_length=length):
                vectors[part.example_ids] = embed(
                    self.model, part, pooling=pooling, normalize=normalize, progress=progress
                )
        return vectors

    def save(self, directory: str | Path) -> None:
        """Write a directory that sentence-transformers loads too: all of it, or nothing.

        A README.md that is there stays.

        Raises
        ------
        StorageError
            The disk is full or the place cannot be written; what was there is untouched.
        """
        card = ModelCard(
            title="A sentence encoder",
            summary=f"Vectors of {self.width} numbers, saved by minidistil.",
            pipeline_tag="sentence-similarity",
            library_name="sentence-transformers",
        )
        with atomic_directory(directory) as staging:
            self.model.save_pretrained(staging, tokenizer=self.tokenizer, card=card.render())
            write_embedding(staging, self.embedding, self.width)
            if (Path(directory) / "README.md").exists():
                (staging / "README.md").unlink()

"""A sentence encoder: a model, its tokenizer, and how the vectors of tokens become one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_type
from minidistil.embeddings.directory import Embedding, read_embedding, write_embedding
from minidistil.embeddings.vectors import embed
from minidistil.files import atomic_directory
from minidistil.model import load_to_answer
from minidistil.model.model import Model
from minidistil.progress import Progress
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of tasks that an encoder of sentences is measured by, as `task.`.

    Attributes
    ----------
    prompt : str or None
        What comes before every text: a prompt of the encoder by its name, or a text. None: its default one.
    """

    prompt: str | None = None

    def encoder(self, path_or_id: str | Path) -> SentenceEncoder:
        """The encoder, with this prompt."""
        encoder = SentenceEncoder.from_pretrained(path_or_id)
        if self.prompt is not None:
            encoder.embedding = encoder.embedding.with_prompt(encoder.embedding.named_or_text(self.prompt))
        return encoder


class SentenceEncoder:
    """Texts to vectors: `SentenceEncoder.from_pretrained("encoder/").encode(["a warm film"])`.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    tokenizer : Tokenizer
    embedding : Embedding
        How tokens are pooled, what follows, what comes before a text, and where texts are cut: never beyond
        the model's positions; if it does not say, where the tokenizer does. By default the mean, length 1.

    Raises
    ------
    UsageError
        An embedding with a value that cannot be, such as an unknown pooling.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, embedding: Embedding | None = None) -> None:
        check_type("the model of a SentenceEncoder", model, Model)
        check_type("its tokenizer", tokenizer, Tokenizer)
        embedding = Embedding() if embedding is None else embedding
        embedding.check()
        wanted, positions = embedding.max_length, model.config.max_position_embeddings
        if wanted is not None and wanted > positions:
            log.warning("texts are cut at the model's %d positions, not at %d tokens", positions, wanted)
            wanted = positions
        length = sequence_length(tokenizer, model.config, wanted)
        self.model, self.tokenizer = model, tokenizer.for_model(model.config.vocab_size)
        self.embedding = embedding._replace(max_length=length)
        self._reader = self.tokenizer.lowered() if embedding.lower_case else self.tokenizer

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        **options: Any,
    ) -> Self:
        """Load a directory or a hub id, of sentence-transformers or of any encoder.

        Parameters
        ----------
        path_or_id : directory or hub id
            What its sentence-transformers files say is followed; see `read_embedding`.
        prompt, prompt_name : str, optional
            A text to put before every text, or the name of one of the directory's prompts, in place of its
            default one; "" is none.
        **options
            `pooling`, `normalize` and other fields of `Embedding` in place of the directory's, others as for
            `Model.from_pretrained`.

        Raises
        ------
        ConfigError, WeightsError, MissingAssetError, UsageError
        """
        path = resolve(path_or_id, revision=options.pop("revision", None))
        changes = {name: options.pop(name) for name in Embedding._fields if name in options}
        model = load_to_answer(path, "Model", **options)
        embedding = read_embedding(path, model.config.hidden_size)._replace(**changes)
        return cls(model, Tokenizer.from_pretrained(path), embedding.with_prompt(prompt, prompt_name))

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self.embedding.width(self.model.config.hidden_size)

    def __call__(self, texts: str | Sequence[str], **options: Any) -> npt.NDArray[np.float32]:
        """The vector of one text, float32 [H], or of several, [N, H]; see `encode`."""
        vectors = self.encode([texts] if isinstance(texts, str) else texts, **options)
        return np.asarray(vectors[0] if isinstance(texts, str) else vectors)

    def encode(
        self,
        texts: Sequence[str],
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        quiet: bool = True,
    ) -> npt.NDArray[np.float32]:
        """A vector for every text, float32 [N, H], in their order.

        Batches are made by length inside. What a text's vector is does not depend on the others or on their
        order: bit for bit where matrix products are minidistil's own, else but for rounding. A text that is
        too long is cut, and one warning says how many were. An empty one has the vector of [CLS] [SEP].

        Parameters
        ----------
        texts : sequence of str
        prompt, prompt_name : str, optional
            A text to put before each of them, or the name of one of the encoder's prompts. By default its
            default prompt, if it has one; "" is none.
        quiet : bool
            Show no progress.

        Raises
        ------
        InputError
            Something that is not text.
        UsageError
            A max_length that leaves no room for a token, or an unknown prompt.
        """
        about = self.embedding
        before = about.prompt(prompt, prompt_name)
        texts = as_texts("texts", texts)
        vectors = np.zeros((len(texts), self.width), np.float32)
        asked = [before + text for text in texts] if before else texts
        skip = prompt_tokens(self._reader, before, about)
        with Progress(len(texts), "embedding", "text", quiet=quiet) as progress:
            for part in Dataset.in_parts(self._reader, asked, max_length=about.max_length):
                found = embed(
                    self.model,
                    part,
                    pooling=about.pooling,
                    normalize=about.normalize,
                    skip=skip,
                    layers=about.layers,
                    progress=progress,
                )
                vectors[part.example_ids] = found[:, : self.width]
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
            write_embedding(staging, self.embedding, self.model.config.hidden_size)
            if (Path(directory) / "README.md").exists():
                (staging / "README.md").unlink()


def prompt_tokens(tokenizer: Tokenizer, prompt: str, embedding: Embedding) -> int:
    """Number of tokens of a text, from the first, that are not pooled: [CLS] and the prompt's, or none."""
    if embedding.include_prompt or not prompt:
        return 0
    ids = tokenizer.encode([prompt], max_length=embedding.max_length).input_ids[0]
    return len(ids) - (int(ids[-1]) in tokenizer.special_ids)  # the last ends the text

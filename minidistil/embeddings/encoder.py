"""Sentence encoder: from texts to vectors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_choice, check_device, check_integer, check_names, check_type
from minidistil.arrays import Float32
from minidistil.embeddings.directory import read_settings, write_settings
from minidistil.embeddings.layers import Normalize
from minidistil.embeddings.quantization import PRECISIONS, Quantized, quantize_embeddings
from minidistil.embeddings.settings import EmbeddingSettings
from minidistil.embeddings.similarity import RANGES, Similarity, similarity_matrix, similarity_of_rows
from minidistil.embeddings.text_vectors import embed as embed
from minidistil.embeddings.text_vectors import embed_tokens
from minidistil.embeddings.text_vectors import prompt_tokens as prompt_tokens
from minidistil.errors import UsageError
from minidistil.files import atomic_directory
from minidistil.model import load_to_answer
from minidistil.model.description import described, lines
from minidistil.model.model import Model
from minidistil.modules_json import MODULES
from minidistil.progress import Progress
from minidistil.text.dataset import Dataset
from minidistil.text.lengths import sequence_length
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.texts import as_texts
from minidistil.text.tokenizer import Tokenizer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

log = logging.getLogger("minidistil")

ENCODING = ("prompt", "prompt_name", *EmbeddingSettings._fields)  # options of making an encoder
OutputValue = Literal["sentence_embedding", "token_embeddings"]
OUTPUTS: tuple[OutputValue, ...] = ("sentence_embedding", "token_embeddings")
OTHER_NAMES = ("sentences", "inputs")  # of the texts, in sentence-transformers
ARGUMENTS = (
    *("texts", "prompt", "prompt_name", "batch_size", "show_progress_bar", "output_value", "precision"),
    *("convert_to_numpy", "convert_to_tensor", "device", "normalize_embeddings", "truncate_dim", "quiet"),
)
# Tasks whose models have other vectors than those that compare texts.
OTHER_TASKS = ("text-classification", "token-classification", "question-answering", "multiple-choice")


class SentenceEncoder:
    """Encode texts: `SentenceEncoder.from_pretrained("encoder/").encode(["a warm film"])`.

    Parameters
    ----------
    model : Model
        Any encoder, with or without a head.
    tokenizer : Tokenizer
    settings : EmbeddingSettings, optional
        Its `max_length` is the tokenizer's by default, and never more than the model's positions.

    Raises
    ------
    UsageError
        A setting with an impossible value, such as an unknown pooling.
    """

    def __init__(self, model: Model, tokenizer: Tokenizer, settings: EmbeddingSettings | None = None) -> None:
        given: object = model
        if isinstance(given, (str, Path)):
            raise UsageError(f"SentenceEncoder.from_pretrained({str(given)!r}) loads an encoder")
        check_type("the model of a SentenceEncoder", model, Model)
        check_type("its tokenizer", tokenizer, Tokenizer)
        settings = EmbeddingSettings() if settings is None else settings
        settings.check()
        self.model, self.tokenizer = model, fit_tokenizer(tokenizer, model.config)
        self.settings = settings._replace(max_length=self._length(settings.max_length))
        self._reader = self.tokenizer.lowered() if settings.lower_case else self.tokenizer

    def _length(self, wanted: int | None) -> int:
        """Most tokens of a text."""
        positions = self.model.config.max_sequence_length
        if wanted is not None and wanted > positions:
            log.warning("texts are cut at the model's %d positions, not at %d tokens", positions, wanted)
            wanted = positions
        return sequence_length(self.tokenizer, self.model.config, wanted)

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str | Path,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        tokenizer: Tokenizer | str | Path | None = None,
        quiet: bool = False,
        **options: Any,
    ) -> Self:
        """Load a directory or a hub id, of sentence-transformers or of any encoder.

        Parameters
        ----------
        path_or_id : directory or hub id
            Files of sentence-transformers are followed; see `minidistil.embeddings.directory`.
        prompt, prompt_name : str, optional
            A text to put before every text, or the name of one of the directory's prompts, in place of its
            default prompt; "" is none.
        tokenizer : Tokenizer, directory or hub id, optional
            By default the directory's.
        quiet : bool
            No warning of a model that learnt another task.
        **options
            `pooling`, `normalize` and other fields of `EmbeddingSettings` in place of the directory's; others
            as for `Model.from_pretrained`.

        Raises
        ------
        ConfigError, WeightsError, MissingAssetError, UsageError
        """
        path = resolve(path_or_id, revision=options.pop("revision", None))
        changes = {name: options.pop(name) for name in EmbeddingSettings._fields if name in options}
        model = load_to_answer(path, "Model", **options)
        settings = read_settings(path, model.config.hidden_size)._replace(**changes)
        if model.pipeline_tag in OTHER_TASKS and not quiet and not (path / MODULES).exists():
            log.warning(
                "%s is a %s: its vectors are those of its task, %s. To compare texts, take an encoder of "
                "sentences",
                path, type(model).__name__, model.pipeline_tag,
            )  # fmt: skip
        if not isinstance(tokenizer, Tokenizer):
            tokenizer = Tokenizer.from_pretrained(path if tokenizer is None else tokenizer)
        return cls(model, tokenizer, settings.with_prompt(prompt, prompt_name))

    @classmethod
    def of_model(
        cls,
        model: Model,
        tokenizer: Tokenizer,
        *,
        prompt: str | None = None,
        prompt_name: str | None = None,
        **settings: Any,
    ) -> Self:
        """An encoder of a model in memory; the options are those of `from_pretrained`, but for loading."""
        check_names(cls.__name__, "setting", settings, EmbeddingSettings._fields)
        return cls(model, tokenizer, EmbeddingSettings(**settings).with_prompt(prompt, prompt_name))

    def __repr__(self) -> str:
        s = self.settings
        facts = {
            "vectors": f"{self.width} numbers, pooling {s.pooling}{', length 1' if s.normalize else ''}, "
            f"compared by {s.similarity}",
            "texts": f"up to {s.max_length} tokens",
            "steps": ", ".join(type(layer).__name__ for layer in s.layers),
            "prompts": ", ".join(map(repr, s.prompts)),
        }
        return lines(type(self).__name__, {**facts, **described(self.model)})

    # What vectors are like

    @property
    def width(self) -> int:
        """Width of a vector."""
        return self.settings.width(self.model.config.hidden_size)

    def get_embedding_dimension(self) -> int:
        """Width of a vector, under its name in sentence-transformers."""
        return self.width

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def max_seq_length(self) -> int:
        """Most tokens of a text; the rest is cut."""
        return cast(int, self.settings.max_length)

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        check_integer("max_seq_length", length, 1)
        self.settings = self.settings._replace(max_length=self._length(length))

    @property
    def similarity_fn_name(self) -> Similarity:
        """Kind of similarity of `similarity`: "cosine", "dot", "euclidean" or "manhattan"."""
        return self.settings.similarity

    @similarity_fn_name.setter
    def similarity_fn_name(self, name: Similarity) -> None:
        check_choice("similarity_fn_name", name, RANGES)
        self.settings = self.settings._replace(similarity=name)

    @property
    def prompts(self) -> Mapping[str, str]:
        """Texts to put before a text, by name."""
        return self.settings.prompts

    # Encoding

    def __call__(self, texts: str | Iterable[str], **options: Any) -> Any:
        """Encode one text, float32 [H], or several, [N, H]; see `encode`."""
        return self.encode(texts, **options)

    def encode(
        self,
        texts: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: OutputValue = "sentence_embedding",
        precision: Quantized = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: object = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        *,
        quiet: bool = True,
        **others: Any,
    ) -> Any:
        """Encode texts as vectors: one text as float32 [H], several as [N, H].

        A text's vector does not depend on the other texts or on their order: bit for bit where matrix
        products are minidistil's own, else but for rounding. A text that is too long is cut, and one warning
        says how many were. An empty text has the vector of [CLS] [SEP].

        Parameters
        ----------
        texts : str or iterable of str
            `sentences` and `inputs` are other names of it.
        prompt_name, prompt : str, optional
            The name of one of the encoder's prompts, or a text to put before each text. By default its
            default prompt, if it has one; "" is none.
        batch_size : int
            Without effect: batches are made by numbers of tokens, and change no vector.
        show_progress_bar : bool, optional
            Show progress; by default as `quiet` says.
        output_value : {"sentence_embedding", "token_embeddings"}
            "token_embeddings": a list of float32 [L, H], the vectors of each text's tokens.
        precision : {"float32", "int8", "uint8", "binary", "ubinary"}
            See `minidistil.embeddings.quantize_embeddings`.
        convert_to_numpy : bool
            False: a list of arrays [H].
        convert_to_tensor : bool
            Refused: there are no tensors.
        device : None, -1 or "cpu"
        normalize_embeddings : bool
            Scale vectors to length 1, also where the encoder's settings do not.
        truncate_dim : int, optional
            Numbers of a vector that are kept, in place of the encoder's setting.
        quiet : bool
            Show no progress.

        Raises
        ------
        InputError
            Something that is not text.
        UsageError
            A max_length that leaves no room for a token, an unknown prompt, or an option that cannot be.
        """
        given = [others.pop(name) for name in OTHER_NAMES if name in others]
        check_names("encode", "argument", others, ARGUMENTS)
        if len(given) + (texts is not None) > 1:
            raise UsageError("texts are given twice: by their place or name, and as sentences or inputs")
        texts = given[0] if given else texts
        check_device(device)
        check_integer("batch_size", batch_size, 1)
        check_choice("output_value", output_value, OUTPUTS)
        check_choice("precision", precision, PRECISIONS)
        if convert_to_tensor:
            raise UsageError("encode gives arrays and no tensors: torch.from_numpy(array) makes one of it")
        settings = self.settings
        if truncate_dim is not None:
            check_integer("truncate_dim", truncate_dim, 1)
            settings = settings._replace(truncate_dim=truncate_dim)
        one, texts = isinstance(texts, str), as_texts("texts", cast(Any, texts), one=True)
        quiet = quiet if show_progress_bar is None else not show_progress_bar
        prompt = settings.prompt(prompt, prompt_name)
        if output_value == "token_embeddings":
            if precision != "float32":
                raise UsageError("vectors of tokens have the precision float32 alone")
            tokens = self._tokens(texts, prompt, quiet)
            return tokens[0] if one else tokens
        width = settings.width(self.model.config.hidden_size)
        vectors = np.zeros((len(texts), width), np.float32)
        skip = prompt_tokens(self._reader, prompt, settings)
        for part, progress in self._parts(texts, prompt, quiet):
            encoded = embed(self.model, part, settings, skip=skip, progress=progress)
            vectors[part.example_ids] = encoded[:, :width]
        if normalize_embeddings:
            vectors = np.asarray(Normalize()(vectors, self.model.backend), np.float32)
        found: npt.NDArray[Any] = vectors
        if precision != "float32":
            found = quantize_embeddings(vectors, precision)
        rows = found if convert_to_numpy else list(found)
        return rows[0] if one else rows

    def _parts(self, texts: list[str], prompt: str, quiet: bool) -> Iterator[tuple[Dataset, Progress]]:
        """Texts behind a prompt, tokenised, some at a time."""
        prompted = [prompt + text for text in texts] if prompt else texts
        with Progress(len(texts), "embedding", "text", quiet=quiet) as progress:
            for part in Dataset.in_parts(self._reader, prompted, max_length=self.settings.max_length):
                yield part, progress

    def _tokens(self, texts: list[str], prompt: str, quiet: bool) -> list[Float32]:
        """The vectors of each text's tokens, [L, H]."""
        found: list[Float32] = []
        for part, progress in self._parts(texts, prompt, quiet):
            found += [own.astype(np.float32) for own in embed_tokens(self.model, part, progress=progress)]
        return found

    def encode_query(
        self,
        texts: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Encode queries: as `encode`, by default with the encoder's prompt "query", or none."""
        return self._encode_as("query", texts, prompt_name, prompt, *args, **options)

    def encode_document(
        self,
        texts: str | Iterable[str] | None = None,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *args: Any,
        **options: Any,
    ) -> Any:
        """Encode documents: as `encode`, by default with the encoder's prompt "document", or none."""
        return self._encode_as("document", texts, prompt_name, prompt, *args, **options)

    def _encode_as(
        self, kind: str, texts: Any, prompt_name: str | None, prompt: str | None, *args: Any, **options: Any
    ) -> Any:
        if prompt_name is None and prompt is None:
            prompt = self.settings.prompts.get(kind, "")
        return self.encode(texts, prompt_name, prompt, *args, **options)

    # Comparing

    def similarity(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> Float32:
        """Similarity of all vectors with all others, by `similarity_fn_name`.

        Parameters
        ----------
        embeddings1, embeddings2 : float [N, H] and [M, H]; or [H], as one of them

        Returns
        -------
        float32 [N, M]
        """
        return similarity_matrix(embeddings1, embeddings2, self.settings.similarity)

    def similarity_pairwise(self, embeddings1: npt.ArrayLike, embeddings2: npt.ArrayLike) -> Float32:
        """Similarity of each vector [N, H] with the one of the same row, float32 [N]."""
        return similarity_of_rows(embeddings1, embeddings2, self.settings.similarity)

    # Saving

    def save(self, directory: str | Path) -> None:
        """Write a directory that sentence-transformers loads too: all of it, or nothing.

        An existing README.md stays.

        Raises
        ------
        StorageError
            The disk is full or the directory cannot be written; its old content is untouched.
        """
        card = ModelCard(
            title="A sentence encoder",
            summary=f"Vectors of {self.width} numbers, saved by minidistil.",
            pipeline_tag="sentence-similarity",
            library_name="sentence-transformers",
        )
        with atomic_directory(directory) as staging:
            self.model.save_pretrained(staging, tokenizer=self.tokenizer, card=card.render())
            write_settings(staging, self.settings, self.model.config.hidden_size)
            if (Path(directory) / "README.md").exists():
                (staging / "README.md").unlink()

    save_pretrained = save

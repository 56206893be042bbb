"""Pre-training a masked LM from text alone: from scratch with a new vocabulary, or from an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from minidistil.config import BertConfig, DistilBertConfig, load_config
from minidistil.jobs.distill import DataSettings, MaskedLMRun
from minidistil.jobs.run import freeze
from minidistil.jobs.sources import content
from minidistil.model import BertForMaskedLM, DistilBertForMaskedLM
from minidistil.model.model import Model
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.wordpiece import train_wordpiece
from minidistil.train.objective import ModelLoss
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard, origin
from minidistil.weights.hub import resolve


@dataclass(frozen=True)
class ModelSettings:
    """Shape of a model that begins from nothing; of one that begins from an encoder, only `freeze` counts.

    Attributes
    ----------
    family : {"bert", "distilbert"}
    layers, width, heads, intermediate, positions : int
    vocabulary : int
        Size of the WordPiece vocabulary that is made of the text, special tokens among it.
    lowercase : bool
        Whether words are lowercased and stripped of accents.
    freeze : tuple of str
        What does not learn: "positions", or patterns of parameter names.
    """

    family: Literal["bert", "distilbert"] = "bert"
    layers: int = 6
    width: int = 384
    heads: int = 12
    intermediate: int = 1536
    positions: int = 512
    vocabulary: int = 30_522
    lowercase: bool = True
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class PretrainingRecipe:
    """All settings of a pre-training. `minidistil.settings` reads and writes it."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    masking: Masking = field(default_factory=lambda: Masking(smoothing=0.0))
    train: TrainSettings = field(default_factory=lambda: TrainSettings(lr=1e-4, clip=1.0))


class Pretraining(MaskedLMRun):
    """Training a masked LM on text.

    Parameters
    ----------
    source : str or None
        A directory or hub id to begin from; a masked-LM head that it lacks begins from nothing, but for the
        word table, which it shares. None: everything begins from nothing, the vocabulary too.
    texts, recipe, out, quiet
        As for `MaskedLMRun`; the recipe is a `PretrainingRecipe`.
    """

    recipe: PretrainingRecipe

    def __init__(
        self,
        source: str | None,
        texts: Sequence[str | Path],
        recipe: PretrainingRecipe,
        out: str | Path,
        *,
        quiet: bool = False,
    ) -> None:
        super().__init__(texts, recipe, out, quiet=quiet)
        self.source = source

    @cached_property
    def tokenizer(self) -> Tokenizer:
        if self.source is not None:
            source = resolve(self.source)
            return Tokenizer.from_pretrained(source).check_rows(load_config(source).vocab_size, self.source)
        m = self.recipe.model
        return train_wordpiece(
            self.texts,
            self.out / "tokenizer",
            size=m.vocabulary,
            lowercase=m.lowercase,
            text_key=self.recipe.data.text_key,
            replace=not self.has_learnt(),
            quiet=self.quiet,
        )

    def identity(self) -> dict[str, Any]:
        return {"source": None if self.source is None else content(resolve(self.source))}

    @property
    def positions(self) -> int:
        if self.source is None:
            return self.recipe.model.positions
        return load_config(resolve(self.source)).max_position_embeddings

    def first_model(self) -> Model:
        m, seed = self.recipe.model, self.recipe.train.seed
        model: Model
        if self.source is not None:
            path = resolve(self.source)
            distil = isinstance(load_config(path), DistilBertConfig)
            kind: type[Model] = DistilBertForMaskedLM if distil else BertForMaskedLM
            model = kind.from_pretrained(path, seed=seed)
        else:
            shape: dict[str, Any] = {
                "vocab_size": self.tokenizer.vocab_size,
                "hidden_size": m.width,
                "num_hidden_layers": m.layers,
                "num_attention_heads": m.heads,
                "intermediate_size": m.intermediate,
                "max_position_embeddings": m.positions,
                "pad_token_id": self.tokenizer.pad_token_id,
            }
            if m.family == "bert":
                model = BertForMaskedLM(BertConfig(**shape), seed=seed)
            else:
                model = DistilBertForMaskedLM(DistilBertConfig(**shape), seed=seed)
        freeze(model, m.freeze)
        return model

    def trainer(self, model: Model, data: MaskedDataset, **options: Any) -> Trainer:
        return Trainer(
            model, ModelLoss(model), data, settings=self.recipe.train, label="pre-training", **options
        )

    def card(self) -> ModelCard:
        return self.made_card(
            None if self.source is None else origin(self.source, resolve(self.source)),
            title="A masked language model",
            summary="Pre-trained by minidistil on text.",
            pipeline_tag="fill-mask",
            limitations="It knows what was in the text it was trained on, with its errors and prejudices.",
        )

    def arguments(self) -> list[str]:
        source = [] if self.source is None else ["--from", self.source]
        return ["pretrain", *source, "--corpus", *map(str, self.texts)]

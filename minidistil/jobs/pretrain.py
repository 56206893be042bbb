"""Pre-training a masked LM from text alone: from scratch with a new vocabulary, or from an encoder."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from minidistil.arguments import with_article
from minidistil.jobs.masked_text import DataSettings, MaskedText
from minidistil.jobs.run import Evaluation, Job, freeze
from minidistil.jobs.sources import content, origin
from minidistil.model import load_model
from minidistil.model.families import class_with, load_config
from minidistil.model.model import Model
from minidistil.settings import check_setting
from minidistil.tasks.masked_lm.task import MaskedLMTask
from minidistil.text.masking import MaskedDataset, Masking
from minidistil.text.model_fit import fit_tokenizer
from minidistil.text.tokenizer import Tokenizer
from minidistil.text.wordpiece import train_wordpiece
from minidistil.train.objective import ModelLoss, Objective
from minidistil.train.settings import TrainSettings
from minidistil.train.trainer import Trainer
from minidistil.weights.card import ModelCard
from minidistil.weights.hub import resolve

# Settings of some families alone, by the field of the config.
OWN = {"embedding": "embedding_size", "groups": "num_hidden_groups"}


@dataclass(frozen=True)
class ModelSettings:
    """Shape of a model that begins from nothing; of one that begins from an encoder, only `freeze` counts.

    Attributes
    ----------
    family : {"bert", "distilbert", "ernie", "roberta", "xlm-roberta", "camembert", "mpnet",
        "electra", "albert"}
        Family of models, one of `minidistil.model.families.FAMILIES`.
    layers : int >= 1
        Number of layers.
    width : int >= 1
        Size of the hidden states, a multiple of `heads`.
    embedding : int >= 1 or None
        Width of the tables, of families that have one of their own: ALBERT, ELECTRA. None: the family's.
    groups : int >= 1 or None
        Groups of layers, which share their parameters, of an ALBERT. None: one.
    heads : int >= 1
        Attention heads of a layer.
    intermediate : int >= 1
        Size inside the feed-forward blocks.
    positions : int >= 1
        Most tokens of a sequence.
    vocabulary : int >= 1
        Size of the new WordPiece vocabulary, with its special tokens.
    lowercase : bool
        Lowercase words and strip accents.
    freeze : tuple of str
        Parameters that do not learn: "positions", or names, their beginnings or patterns.
    """

    family: str = "bert"
    layers: int = 6
    width: int = 384
    embedding: int | None = None
    groups: int | None = None
    heads: int = 12
    intermediate: int = 1536
    positions: int = 512
    vocabulary: int = 30_522
    lowercase: bool = True
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "intermediate", "positions", "vocabulary"):
            value = getattr(self, name)
            check_setting(value >= 1, name, value, "an integer >= 1")
        most = self.groups is None or self.groups <= self.layers
        check_setting(most, "groups", self.groups, f"at most {self.layers}, the layers")
        fields = {f.name for f in dataclasses.fields(class_with("ForMaskedLM", self.family).config_class)}
        for name, field_name in OWN.items():
            value = getattr(self, name)
            check_setting(value is None or value >= 1, name, value, "an integer >= 1, or nothing")
            good = value is None or field_name in fields
            check_setting(good, name, value, f"nothing, as {with_article(self.family)} has no {field_name}")


@dataclass(frozen=True)
class GeneratorSettings:
    """Generator of an ELECTRA, and the weight of what the discriminator learns from it.

    Attributes
    ----------
    width : float in (0, 1]
        Size of its hidden states, as a share of the discriminator's; it has as large a share of the attention
        heads, at least one, and 4 times its width inside the feed-forward blocks.
    discriminator_weight : float >= 0
        Weight of the discriminator's loss; the generator's has 1.
    """

    width: float = 0.25
    discriminator_weight: float = 50.0

    def __post_init__(self) -> None:
        check_setting(0 < self.width <= 1, "width", self.width, "a share in (0, 1]")
        weight = self.discriminator_weight
        check_setting(0 <= weight < math.inf, "discriminator_weight", weight, "a number >= 0")


@dataclass(frozen=True)
class PretrainingRecipe:
    """All settings of a pre-training. `minidistil.settings` reads and writes it."""

    model: ModelSettings = field(default_factory=ModelSettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    data: DataSettings = field(default_factory=DataSettings)
    masking: Masking = field(default_factory=lambda: Masking(smoothing=0.0))
    train: TrainSettings = field(default_factory=lambda: TrainSettings(lr=1e-4, clip=1.0))


class Pretraining:
    """Training a masked LM on text.

    Parameters
    ----------
    source : str or None
        A directory or hub id to begin from; a masked-LM head that it lacks begins from nothing, but for the
        word table, which it shares. None: everything begins from nothing, the vocabulary too.
    texts : sequence of paths
        Files and directories of text.
    recipe : PretrainingRecipe
    out : path
    quiet : bool
        Show no progress.
    """

    head: ClassVar[str] = "ForMaskedLM"
    data: ClassVar[type[MaskedDataset]] = MaskedDataset

    def __init__(
        self,
        source: str | None,
        texts: Sequence[str | Path],
        recipe: PretrainingRecipe,
        out: str | Path,
        *,
        quiet: bool = False,
    ) -> None:
        recipe.train.check_best(MaskedLMTask.lower_is_better)
        self.source, self.texts, self.recipe, self.out, self.quiet = source, texts, recipe, Path(out), quiet
        begin = [] if source is None else ["--from", source]
        self.job = Job(recipe, self.out, ["pretrain", *begin, "--corpus", *map(str, texts)])

    def run(self) -> dict[str, Any]:
        """Do what is left to do, and return the report; errors as of the steps of `Job`."""
        job = self.job
        with job.alone():
            job.claim(self.identity(), lambda: self.text.check())
            if not job.is_trained():
                self.train()
            return job.finish(self.text.report(self.measured()))

    def train(self) -> None:
        """Train and save the model."""
        model = self.first_model()
        self.learn(model, ModelLoss(model), self.text.evaluation(model, "loss"))
        self.job.save(model, self.text.tokenizer, self.card())

    def learn(self, model: Model, objective: Objective, evaluate: Evaluation | None) -> None:
        """Train a model to the end."""
        trainer = Trainer(
            model, objective, self.text.train, settings=self.recipe.train, out=self.job.work,
            evaluate=self.job.checked(evaluate), label="pre-training", quiet=self.quiet,
        )  # fmt: skip
        self.job.train(trainer)

    def measured(self) -> dict[str, dict[str, Any]]:
        """Sizes and metrics of what was saved, by its name in the report."""
        job = self.job
        return {"model": self.text.describe(load_model(job.result), "model", job.details_of("model"))}

    def finished(self) -> dict[str, Any] | None:
        """The report, if this very run has ended before; errors as of `run`."""
        report = self.job.finished(self.identity)
        if report is not None:
            _ = self.text.corpus  # refuses another text
        return report

    def identity(self) -> dict[str, Any]:
        """Hashes of the inputs."""
        return {"source": None if self.source is None else content(self.source)}

    @cached_property
    def text(self) -> MaskedText:
        """The text, and the tokenizer: of the source, or made of the text."""
        m = self.recipe.model
        if self.source is not None:
            source = resolve(self.source)
            config = load_config(source)
            tokenizer = Tokenizer.from_pretrained(source)
            tokenizer = fit_tokenizer(tokenizer, config, self.source, training=True)
            positions = config.max_sequence_length
        else:
            positions = m.positions
            tokenizer = train_wordpiece(
                self.texts,
                self.out / "tokenizer",
                size=m.vocabulary,
                lowercase=m.lowercase,
                text_key=self.recipe.data.text_key,
                replace=not self.job.has_learnt(),
                quiet=self.quiet,
            )
        return MaskedText(self.job, self.texts, tokenizer, positions, self.quiet, kind=self.data)

    def first_model(self) -> Model:
        """The model as training begins."""
        m, seed = self.recipe.model, self.recipe.train.seed
        model: Model
        if self.source is not None:
            path = resolve(self.source)
            model = class_with(self.head, load_config(path).model_type).from_pretrained(path, seed=seed)
        else:
            shape: dict[str, Any] = {
                "vocab_size": self.text.tokenizer.vocab_size,
                "hidden_size": m.width,
                "num_hidden_layers": m.layers,
                "num_attention_heads": m.heads,
                "intermediate_size": m.intermediate,
                "max_position_embeddings": m.positions,
                "pad_token_id": self.text.tokenizer.pad_token_id,
            }
            own = {field_name: getattr(m, name) for name, field_name in OWN.items()}
            shape |= {field_name: value for field_name, value in own.items() if value is not None}
            kind = class_with(self.head, m.family)
            config = kind.config_class(**shape)
            rows = m.positions + config.first_position
            model = kind(config.replace(max_position_embeddings=rows), seed=seed)
        freeze(model, m.freeze)
        return model

    def card(self) -> ModelCard:
        """README.md of the model."""
        return self.job.card(
            None if self.source is None else origin(self.source),
            title="A masked language model",
            summary="Pre-trained by minidistil on text.",
            pipeline_tag="fill-mask",
            limitations="It knows what was in the text it was trained on, with its errors and prejudices.",
        )

"""Settings of a fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from minidistil.errors import ConfigError
from minidistil.settings import check_setting
from minidistil.tasks.split import TrainingFile
from minidistil.train.settings import ClassifierSettings


@dataclass(frozen=True)
class ModelSettings:
    """Model that is trained.

    Attributes
    ----------
    layers : str or None
        Layers of the model that it begins from: "all", "alternate", "first:3", "0,2,4", see `choose_layers`;
        None: all.
    freeze : tuple of str
        Parameters that do not learn: "positions", or names, their beginnings or patterns.
    """

    layers: str | None = None
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class FirstStageSettings:
    """First stage of two: the student learns layers before it learns answers (TinyBERT).

    Jiao et al. 2019, arXiv:1909.10351, sections 3.1 and 3.2. The stage has an optimiser and a schedule of its
    own. Without a term of scores (`soft`, `hard`, `logits`) the head stays as it is.

    Attributes
    ----------
    terms : mapping
        As of `teaching.terms`, such as `hidden` and `attention`. Without any there is no such stage.
    epochs, max_steps : int >= 1 or None
        Length of the stage. None of both: that of `train`.
    lr : float > 0 or None
        Highest learning rate; None: that of `train`.
    patience : int >= 1 or None
        The stage ends after so many measurements in a row that are not below the lowest before by
        `least_fall`. None: it goes on to its last step.
    least_fall : float in [0, 1)
        Share by which a loss must be lower in order to count as lower: differences that are noise do not.
    eval_every : int >= 1 or "epoch"
        Steps between two measurements of the stage's loss: on held-out examples, without labels and dropout.
        Where there are none, or teachers are several or have tokenizers of their own, it is the mean of the
        training loss since the last.
    """

    terms: Mapping[str, Any] = field(default_factory=dict)
    epochs: int | None = None
    max_steps: int | None = None
    lr: float | None = None
    patience: int | None = None
    least_fall: float = 0.01
    eval_every: int | Literal["epoch"] = "epoch"

    def __post_init__(self) -> None:
        for name in ("epochs", "max_steps", "patience"):
            value = getattr(self, name)
            check_setting(value is None or value >= 1, name, value, "an integer >= 1, or nothing")
        good = self.eval_every == "epoch" or (isinstance(self.eval_every, int) and self.eval_every >= 1)
        check_setting(good, "eval_every", self.eval_every, 'an integer >= 1, or "epoch"')
        check_setting(self.lr is None or self.lr > 0, "lr", self.lr, "a number > 0, or nothing")
        check_setting(0 <= self.least_fall < 1, "least_fall", self.least_fall, "a share in [0, 1)")


@dataclass(frozen=True)
class TeachingSettings:
    """Settings of a teacher, if there is one; see `minidistil.distill.Distillation`.

    Attributes
    ----------
    temperature : float > 0 or None
        Of the soft labels. None: what is usual for the kind of task, see `minidistil.jobs.usual_teaching`.
    terms : mapping
        Weights of the terms of the loss, by their names, or tables with a weight and options. Terms that are
        not named have the weights that are usual for the kind of task; 0 leaves one out. Without a weight of
        `hard`, `triplet` or `contrastive` no labels are needed.
    pieces : {"first", "all"}
        Of tags of words: pieces of each word whose scores are compared. The first piece has the tag; nobody
        has trained what the teacher says of the others, of [CLS] and of [SEP].
    first : FirstStageSettings
        A stage before, if it has terms; then the run goes on with `terms` from its weights.
    keep : {"small", "all", "nothing"}
        Outputs of the teacher that are computed once and kept on disk while it trains. "small": scores and
        sentence vectors, if nothing else is compared. "all": hidden states, queries, keys and values too.
    keep_dtype : {"float16", "float32"} or None
        Type of the numbers that "all" keeps; None: the teacher's.
    augment : int >= 0 or None
        Copies of every example of the training file with replaced words, see
        `minidistil.text.word_replacement`. They have no labels, and an epoch has them too. TinyBERT has 20.
        None: what is usual for the kind of task, where words can be replaced.
    replaced : float in (0, 1]
        Probability that a word of a copy is replaced.
    replacements : int >= 1
        Candidates that a replaced word becomes one of.
    words_from : str or None
        Masked LM, a directory or hub id, of which the candidates are the likeliest words in the place. None:
        they are the nearest words in the teacher's word table.
    """

    temperature: float | None = None
    terms: Mapping[str, Any] = field(default_factory=dict)
    pieces: Literal["first", "all"] = "first"
    first: FirstStageSettings = field(default_factory=FirstStageSettings)
    keep: Literal["small", "all", "nothing"] = "small"
    keep_dtype: Literal["float16", "float32"] | None = None
    augment: int | None = None
    replaced: float = 0.4
    replacements: int = 15
    words_from: str | None = None

    def __post_init__(self) -> None:
        good = self.temperature is None or self.temperature > 0
        check_setting(good, "temperature", self.temperature, "a number > 0, or nothing")
        good = self.augment is None or self.augment >= 0
        check_setting(good, "augment", self.augment, "an integer >= 0, or nothing")
        check_setting(0 < self.replaced <= 1, "replaced", self.replaced, "a share in (0, 1]")
        check_setting(self.replacements >= 1, "replacements", self.replacements, "an integer >= 1")
        if self.keep_dtype is not None and self.keep != "all":
            raise ConfigError(f"teaching.keep_dtype={self.keep_dtype} goes with teaching.keep=all")
        if not self.first.terms and self.first != FirstStageSettings():
            raise ConfigError(
                "teaching.first has settings and no terms: say what is learnt in it, such as "
                "teaching.first.terms.hidden=1"
            )


@dataclass(frozen=True)
class FineTuningRecipe:
    """All settings of a fine-tuning. `minidistil.settings` reads and writes it.

    The defaults of `train` are BERT's (Devlin et al. 2018, appendix A.3): batches of 32, 3 epochs, 5e-5.

    Attributes
    ----------
    task : mapping
        Settings that only some tasks have, such as `SummarySettings`; the task checks them.
    """

    model: ModelSettings = field(default_factory=ModelSettings)
    data: TrainingFile = field(default_factory=TrainingFile)
    task: Mapping[str, Any] = field(default_factory=dict)
    teaching: TeachingSettings = field(default_factory=TeachingSettings)
    train: ClassifierSettings = field(default_factory=ClassifierSettings)

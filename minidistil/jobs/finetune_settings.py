"""Settings of a fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
class TeachingSettings:
    """Settings of a teacher, if there is one; see `minidistil.distill.Distillation`.

    Attributes
    ----------
    temperature : float > 0
        Of the soft labels.
    terms : mapping
        Weights of the terms of the loss, by their names, or tables with a weight and options. By default half
        of the loss are the labels, half the teacher's soft ones; of a regression, and of labels of which any
        number may hold, its scores. Without a weight of `hard` or `triplet` no labels are needed.
    """

    temperature: float = 2.0
    terms: Mapping[str, Any] = field(default_factory=lambda: {"soft": 0.5, "hard": 0.5})

    def __post_init__(self) -> None:
        check_setting(self.temperature > 0, "temperature", self.temperature, "a number > 0")


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

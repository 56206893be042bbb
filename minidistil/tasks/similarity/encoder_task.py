"""Base of the tasks that evaluate a sentence encoder."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from minidistil.embeddings.encoder import SentenceEncoder
from minidistil.tasks.base import Task
from minidistil.tasks.details import Details


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of an encoder under evaluation, as `task.`.

    Attributes
    ----------
    prompt : str or None
        Prompt of every text: the name of one of the encoder's prompts, or a text. None: its default prompt.
    """

    prompt: str | None = None

    def encoder(self, path_or_id: str | Path) -> SentenceEncoder:
        """Load the encoder with this prompt."""
        encoder = SentenceEncoder.from_pretrained(path_or_id)
        if self.prompt is not None:
            encoder.settings = encoder.settings.with_prompt(encoder.settings.named_or_text(self.prompt))
        return encoder


class EncoderTask(Task):
    """Evaluation of the vectors of a sentence encoder, by its own similarity.

    Parameters
    ----------
    data : DataSettings, optional
    settings : settings_type, optional
    """

    settings_type: ClassVar[type[Any]] = EncoderSettings

    @abstractmethod
    def evaluate(
        self,
        encoder: SentenceEncoder,
        examples: Any,
        *,
        quiet: bool = True,
        details: Details | None = None,
    ) -> dict[str, Any]:
        """Metrics of an encoder on examples; as of `evaluate_saved`."""

    def evaluate_saved(
        self, path_or_id: str | Path, examples: Any, *, quiet: bool = True, details: Details | None = None
    ) -> dict[str, Any]:
        return self.evaluate(self.settings.encoder(path_or_id), examples, quiet=quiet, details=details)

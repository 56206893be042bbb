"""What a student of a fine-tuned teacher minimises: soft labels, hard labels, hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidistil.errors import ConfigError, InputError
from minidistil.losses import cosine, soft_label_kl
from minidistil.model.arena import Arena
from minidistil.model.base import Model
from minidistil.model.heads import SequenceHead
from minidistil.model.token_heads import MaskedLMHead, TokenHead
from minidistil.ops.dropout import Dropout
from minidistil.packing import Batch

TERMS = ("soft", "hard", "cosine")


class TaskDistillation:
    """A weighted sum of three terms, each a mean.

    - soft: T^2 KL(teacher || student) at temperature T, over the rows of the logits (sequences, or
      tokens for a token classifier); needs no labels.
    - hard: the student's own loss against the labels in the batch.
    - cosine: 1 - cosine of student's and teacher's last hidden states, over tokens.

    Parameters
    ----------
    student : Model
    weights : mapping of str to float
        Of `soft`, `hard` and `cosine`; a term without weight is not computed.
    teacher : Model, optional
        Runs on every batch, in evaluation mode. Not needed for `soft` alone when the batches carry
        `teacher_logits` from `teacher_outputs`.
    temperature : float
        T of the soft labels.
    """

    def __init__(
        self,
        student: Model,
        weights: Mapping[str, float],
        *,
        teacher: Model | None = None,
        temperature: float = 2.0,
    ) -> None:
        unknown = set(weights) - set(TERMS)
        if unknown or not any(weights.values()):
            raise ConfigError(f"weights must name some of {', '.join(TERMS)}, not {dict(weights)}")
        if not temperature > 0:
            raise ConfigError(f"temperature must be positive, not {temperature!r}")
        self.weights = {name: float(weight) for name, weight in weights.items() if weight}
        self.student, self.teacher, self.temperature = student, teacher, temperature
        if teacher is not None and teacher.config.vocab_size != student.config.vocab_size:
            raise ConfigError(
                f"the teacher has a vocabulary of {teacher.config.vocab_size}, the student of "
                f"{student.config.vocab_size}: they must share their tokenizer"
            )
        name = type(student).__name__
        if self.weights.keys() & {"soft", "hard"} and len(student.heads) != 1:
            raise ConfigError(f"soft and hard labels need a student with one task head; {name} is none")
        if "soft" in self.weights and not isinstance(
            student.heads[0], (SequenceHead, TokenHead, MaskedLMHead)
        ):
            raise ConfigError(f"soft labels are for scores over classes or words; {name} gives none")
        if "cosine" in self.weights:
            if teacher is None:
                raise ConfigError("the cosine term compares hidden states: it needs the teacher itself")
            if teacher.config.hidden_size != student.config.hidden_size:
                raise ConfigError(
                    f"the cosine term needs equal widths; the teacher has {teacher.config.hidden_size}, "
                    f"the student {student.config.hidden_size}"
                )

    def settings(self) -> dict[str, Any]:
        """What makes one objective differ from another, for a run's identity."""
        return {"weights": self.weights, "temperature": self.temperature}

    def counts(self, batch: Batch) -> dict[str, int]:
        """Rows of logits, the student's own count, tokens."""
        counts = {}
        if "soft" in self.weights:
            by_token = any(head.token_outputs for head in self.student.heads)
            counts["soft"] = batch.num_tokens if by_token else batch.num_sequences
        if "hard" in self.weights:
            counts["hard"] = sum(self.student.loss_counts(batch).values())
        if "cosine" in self.weights:
            counts["cosine"] = batch.num_tokens
        return counts

    def __call__(
        self, model: Model, batch: Batch, totals: Mapping[str, float], dropout: Dropout | None, grads: Arena
    ) -> dict[str, float]:
        outputs, cache = model.forward(batch, dropout=dropout)
        given = self._teacher_outputs(batch)
        sums: dict[str, float] = {}
        douts: dict[str, Any] = {}

        def add(term: str, output: str, value: float, grad: Any) -> None:
            sums[term] = sums.get(term, 0.0) + value
            scaled = grad * (self.weights[term] / totals[term])
            douts[output] = douts[output] + scaled if output in douts else scaled

        if "soft" in self.weights:
            soft = soft_label_kl(outputs["logits"], given["logits"], temperature=self.temperature)
            add("soft", "logits", soft.sum, soft.grad)
        if "hard" in self.weights:
            for hard in model.losses(outputs, batch).values():
                for i, (output, grad) in enumerate(hard.douts.items()):
                    add("hard", output, 0.0 if i else hard.sum, grad)  # one sum, however many outputs
        if "cosine" in self.weights:
            name = "last_hidden_state"
            near = cosine(outputs[name], given[name])
            add("cosine", name, near.sum, near.grad)
        model.backward(douts, cache, grads)
        return sums

    def _teacher_outputs(self, batch: Batch) -> dict[str, Any]:
        """From the batch if it carries them, else from the teacher."""
        if "teacher_logits" in batch.targets and "cosine" not in self.weights:
            return {"logits": np.asarray(batch.targets["teacher_logits"])}
        if self.weights.keys() == {"hard"}:
            return {}
        if self.teacher is None:
            raise InputError("soft labels need a teacher, or `teacher_logits` in the batch")
        return self.teacher.forward(batch, keep_cache=False)[0]

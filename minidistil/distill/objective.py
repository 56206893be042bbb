"""What a student of a fine-tuned teacher minimises: soft labels, hard labels, hidden states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidistil.errors import ConfigError, InputError
from minidistil.losses import cosine, soft_label_kl
from minidistil.model.arena import Arena
from minidistil.model.base import Model
from minidistil.model.heads import SequenceHead, target
from minidistil.model.token_heads import MaskedLMHead, TokenHead
from minidistil.ops.dropout import Dropout
from minidistil.ops.vocabulary import Vocabulary
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
        scales = {term: weight / totals[term] for term, weight in self.weights.items()}
        # Words are too many to keep a score for each: student and teacher stop before, and meet in chunks.
        words = isinstance(model.heads[0], MaskedLMHead) and "teacher_logits" not in batch.targets
        outputs, cache = model.forward(batch, dropout=dropout, logits=not words)
        given = self._teacher_outputs(batch, logits=not words)
        sums: dict[str, float] = {}
        douts: dict[str, Any] = {}

        def add(output: str, grad: Any) -> None:
            douts[output] = douts[output] + grad if output in douts else grad

        if words:
            sums, grad = self._over_words(model, batch, outputs, given, scales, grads)
            add("features", grad)
        else:
            if "soft" in scales:
                soft = soft_label_kl(outputs["logits"], given["logits"], temperature=self.temperature)
                sums["soft"] = soft.sum
                add("logits", soft.grad * scales["soft"])
            if "hard" in scales:
                terms = dict.fromkeys(model.loss_counts(batch), scales["hard"])
                hard = model.losses(outputs, batch, terms, grads)
                sums["hard"] = sum(hard.sums.values())
                for output, grad in hard.douts.items():
                    add(output, grad)
        if "cosine" in scales:
            name = "last_hidden_state"
            near = cosine(outputs[name], given[name])
            sums["cosine"] = near.sum
            add(name, near.grad * scales["cosine"])
        model.backward(douts, cache, grads)
        return sums

    def _over_words(
        self,
        model: Model,
        batch: Batch,
        outputs: Mapping[str, Any],
        given: Mapping[str, Any],
        scales: Mapping[str, float],
        grads: Arena,
    ) -> tuple[dict[str, float], Any]:
        """The soft and hard terms of a masked-LM student, and their gradient by its features."""
        head, teacher = model.heads[0], self.teacher
        assert isinstance(head, MaskedLMHead)
        theirs = None
        if "soft" in scales:
            assert teacher is not None
            assert isinstance(teacher.heads[0], MaskedLMHead)
            names = teacher.heads[0].decoder_names(teacher.config)
            theirs = Vocabulary(given["features"], *teacher.params.linear(*names))
        weight, bias = head.decoder_names(model.config)
        sums, dfeatures, _, _ = model.backend.vocabulary_losses(
            outputs["features"],
            *model.params.linear(weight, bias),
            labels=target(batch, "labels") if "hard" in scales else None,
            label_scale=scales.get("hard", 0.0),
            teacher=theirs,
            soft_scale=scales.get("soft", 0.0),
            temperature=self.temperature,
            dweight=grads[weight],
            dbias=grads[bias],
        )
        asked = {"hard": sums.labels, "soft": sums.soft}
        return {term: value for term, value in asked.items() if term in scales}, dfeatures

    def _teacher_outputs(self, batch: Batch, logits: bool) -> dict[str, Any]:
        """From the batch if it carries them, else from the teacher."""
        if "teacher_logits" in batch.targets and "cosine" not in self.weights:
            return {"logits": np.asarray(batch.targets["teacher_logits"])}
        if self.weights.keys() == {"hard"}:
            return {}
        if self.teacher is None:
            raise InputError("soft labels need a teacher, or `teacher_logits` in the batch")
        return self.teacher.forward(batch, logits=logits, keep_cache=False)[0]

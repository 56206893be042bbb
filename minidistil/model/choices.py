"""Multiple choice (SWAG, Zellers et al. 2018, arXiv:1808.05326): which of some sequences is the right one?

Each choice is read by itself, [CLS] context [SEP] choice [SEP], and gets one score; the scores of an example
go through one softmax. So a choice is a sequence like any other, an example a group of sequences
(`Batch.cu_choices`), and one example may have two choices where the next has five.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil.arrays import as_array
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import InputError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.context import Run
from minidistil.model.heads import Array, Losses, Outputs, PooledHead, integer_target, output_of
from minidistil.model.model import Model
from minidistil.model.outputs import ModelOutput
from minidistil.parameters import Parameters


@dataclass(frozen=True)
class ChoiceHead(PooledHead):
    """A score for each sequence, [B]."""

    pipeline_tag: ClassVar[str] = "multiple-choice"

    def num_outputs(self, config: ModelConfig) -> int:
        return 1

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]:
        outputs, cache = super().forward(x, params, run)
        return {self.output: outputs[self.output][:, 0]}, cache  # [B, 1] -> [B]

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None:
        if self.output not in douts:
            return None
        return super().backward({self.output: douts[self.output][:, None]}, cache, grads, ops)

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        return {"choice": int((self._chosen(batch) != IGNORE_INDEX).sum())}

    def _chosen(self, batch: Batch) -> npt.NDArray[Any]:
        """[G]: number of the right choice of each example, or -100."""
        sizes, labels = batch.num_choices, integer_target(batch, self.labels, batch.num_examples)
        bad = np.flatnonzero((labels != IGNORE_INDEX) & ((labels < 0) | (labels >= sizes)))
        if len(bad):
            g = int(bad[0])
            raise InputError(
                f"{self.labels}: label {labels[g]} of example {g}, which has choices 0 to {sizes[g] - 1}"
            )
        return labels

    def losses(
        self,
        outputs: Outputs,
        params: Parameters,
        run: Run,
        scales: Mapping[str, float],
        grads: Parameters | None,
    ) -> Losses:
        """Cross-entropy of the right choice among those of its example; -100 where none is known.

        Scores that a smaller group lacks are minus infinity: exp gives them no probability and no gradient.
        """
        batch, labels = run.batch, self._chosen(run.batch)
        logits = output_of(outputs, self.output, batch.num_sequences)
        loss = cross_entropy(batch.unpack_choices(logits, fill=-np.inf), labels)  # [B] -> [G, C]
        return Losses({"choice": loss.sum}, {self.output: batch.pack_choices(loss.grad) * scales["choice"]})


class ChoiceModel(Model):
    """What models with a `ChoiceHead` share: input of shape [B, C, L], B examples with C choices each.

    Input of shape [B, L] are sequences of no group: they get scores, [B], but no loss.
    """

    def pack(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
        position_ids: npt.ArrayLike | None = None,
        **targets: npt.ArrayLike,
    ) -> Batch:
        """The packed form of rectangular input; `labels` are [B]."""
        input_ids = as_array("input_ids", input_ids)
        shape = input_ids.shape
        if len(shape) != 3:
            return super().pack(input_ids, attention_mask, token_type_ids, position_ids, **targets)
        if shape[1] == 0:
            raise InputError(f"input_ids of shape {list(shape)} hold no choices")
        batch = super().pack(
            _one_below_the_other("input_ids", input_ids, shape),
            _one_below_the_other("attention_mask", attention_mask, shape),
            _one_below_the_other("token_type_ids", token_type_ids, shape),
            _one_below_the_other("position_ids", position_ids, shape),
            **targets,
        )
        return replace(batch, cu_choices=np.arange(shape[0] + 1, dtype=np.int64) * shape[1])

    def __call__(self, input_ids: npt.ArrayLike, *arguments: Any, **options: Any) -> ModelOutput:
        """As `Model.__call__`; of input [B, C, L] the `logits` are [B, C], states and maps of B * C rows."""
        input_ids = as_array("input_ids", input_ids)
        result = super().__call__(input_ids, *arguments, **options)
        if input_ids.ndim == 3:
            result["logits"] = result["logits"].reshape(input_ids.shape[:2])
        return result


def _one_below_the_other(name: str, value: Any, shape: tuple[int, ...]) -> Any:
    """[B, C, L] -> [B * C, L]; what has fewer dimensions, or is not given, as it is."""
    if value is None or (array := as_array(name, value)).ndim != 3:
        return value
    if array.shape != shape:
        raise InputError(f"{name} has shape {list(array.shape)}, input_ids has {list(shape)}")
    return array.reshape(shape[0] * shape[1], shape[2])

"""Models called with rectangular arrays, as in transformers: padded [B, L] with an attention mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from minidistil.arguments import check_names
from minidistil.arrays import as_array, as_int32
from minidistil.batch import Batch
from minidistil.errors import InputError
from minidistil.model.outputs import ModelOutput, unpack_attention
from minidistil.model.packed_model import PackedModel
from minidistil.model.ragged import rectangles
from minidistil.model.taps import Patterns, unpack_taps
from minidistil.ops.dropout import Dropout
from minidistil.parameters import Parameters

INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class RectangularModel(PackedModel):
    """A model that takes arrays: they are packed, and it computes on the `Batch`.

    For multiple choice `input_ids` are [B, C, L], B examples with C choices each. Of shape [B, L] they are
    sequences of no example: they get scores, [B], but no loss.
    """

    @property
    def over_choices(self) -> bool:
        """A model for multiple choice."""
        return any(head.over_choices for head in self.heads)

    def __call__(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
        position_ids: npt.ArrayLike | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        output_taps: Patterns = None,
        **targets: npt.ArrayLike,
    ) -> ModelOutput:
        """Run rectangular input [B, L] in evaluation mode, as in transformers.

        Lists of ids need no padding: `model(**tokenizer(texts))`. Outputs are padded to the longest.

        Targets (`labels`, `start_positions`, ...) add the mean `loss` to the output. Of choices [B, C, L] the
        `logits` are [B, C]; states and attention maps have B * C rows. `output_taps`, True or patterns such
        as "layer.0.*", adds `taps`: numbers inside the layers by name, see `forward`.

        Raises
        ------
        UsageError
            A target, or another argument, that the model does not take.
        InputError
            Arrays of another shape, dtype or range.
        """
        targets = self._targets(targets, "output_hidden_states", "output_attentions", "output_taps")
        batch = self.pack(input_ids, attention_mask, token_type_ids, position_ids, **targets)
        outputs, _ = self.forward(
            batch, hidden_states=output_hidden_states, attentions=output_attentions, taps=output_taps,
            keep_cache=False,
        )  # fmt: skip
        scores = any(head.score_outputs for head in self.heads)
        result = ModelOutput(beside={"taps", "last_hidden_state"} if scores else {"taps"})
        if batch.targets:
            result["loss"] = self.losses(outputs, batch).loss
        by_token = {"last_hidden_state"}.union(*(head.token_outputs for head in self.heads))
        for name, value in outputs.items():
            if name == "hidden_states":
                result[name] = tuple(batch.unpack(state) for state in value)
            elif name == "attentions":
                result[name] = tuple(unpack_attention(layer, batch) for layer in value)
            elif name == "taps":
                result[name] = unpack_taps(value, batch, self.sequence_taps())
            else:
                result[name] = batch.unpack(value) if name in by_token else value
        if batch.cu_choices is not None:
            result["logits"] = batch.unpack_choices(result["logits"])
        return result

    def pack(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
        position_ids: npt.ArrayLike | None = None,
        **targets: npt.ArrayLike,
    ) -> Batch:
        """The packed form of rectangular or ragged input; labels [B, L] of token heads are packed too.

        Raises
        ------
        UsageError, InputError
            As of calling the model.
        """
        targets = self._targets(targets)
        by_token = ("labels",) if any(head.token_outputs for head in self.heads) else ()
        along = {name: targets.pop(name) for name in (*self._more_ids(), *by_token) if name in targets}
        given = zip(INPUTS, (input_ids, attention_mask, token_type_ids, position_ids), strict=True)
        along = rectangles({**dict(given), **along})
        arrays: list[Any] = [along.pop(name, None) for name in INPUTS]
        if self.over_choices and len(shape := as_array("input_ids", arrays[0]).shape) == 3:
            batch = _pack_choices(arrays, shape)
        else:
            batch = Batch.from_padded(*arrays)
        packed = {name: as_array(name, value) for name, value in targets.items()}
        if "labels" in along:
            packed["labels"] = batch.pack(as_array("labels", along.pop("labels")), "labels")
        more: dict[str, Any] = {name: _packed_ids(batch, name, ids) for name, ids in along.items()}
        return replace(batch, **more).with_targets(**packed)

    def _targets(self, targets: Mapping[str, npt.ArrayLike], *others: str) -> dict[str, Any]:
        """Targets that are given, if the heads take them; `others` are further arguments of the call."""
        names = [name for head in self.heads for name in head.target_names]
        known = [*INPUTS, *self._more_ids(), *others, *names]
        check_names(type(self).__name__, "argument", targets, known)
        return {name: value for name, value in targets.items() if value is not None}

    def _more_ids(self) -> list[str]:
        """Ids of tables that not every family has, which the model takes by name."""
        return [table.ids for table in self.encoder.embeddings.types if table.ids not in INPUTS]

    def loss_and_grads(
        self,
        input_ids: npt.ArrayLike,
        attention_mask: npt.ArrayLike | None = None,
        token_type_ids: npt.ArrayLike | None = None,
        position_ids: npt.ArrayLike | None = None,
        *,
        dropout: Dropout | None = None,
        **targets: npt.ArrayLike,
    ) -> tuple[float, Parameters]:
        """The mean loss of rectangular input and its gradient for every parameter.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids, position_ids : integers [B, L]
        dropout : Dropout, optional
            Training mode. None computes the gradient of evaluation mode.
        **targets
            `labels` [B], [B, C] or [B, L]; `start_positions`, `end_positions` [B]; `next_sentence_label`
            or `sentence_order_label` [B].

        Returns
        -------
        loss : float
            Sum over the heads' terms of each term's mean.
        grads : Parameters
            `grads["bert.encoder.layer.0.attention.self.query.weight"]`; zeros for frozen parameters.

        Raises
        ------
        UsageError, InputError
            As of calling the model.
        """
        targets = self._targets(targets, "dropout")
        batch = self.pack(input_ids, attention_mask, token_type_ids, position_ids, **targets)
        outputs, cache = self.forward(batch, dropout=dropout, logits=False)
        grads = self.params.like()
        losses = self.losses(outputs, batch, grads=grads)
        self.backward(losses.douts, cache, grads)
        return losses.loss, grads


def _packed_ids(batch: Batch, name: str, ids: npt.ArrayLike) -> npt.NDArray[np.int32]:
    """[B, L], or [B, C, L] of choices -> [T]."""
    array = as_int32(name, ids)
    return batch.pack(array.reshape(-1, array.shape[-1]) if array.ndim == 3 else array, name)


def _pack_choices(arrays: Sequence[npt.ArrayLike | None], shape: tuple[int, ...]) -> Batch:
    """[B, C, L] -> a batch of B * C sequences; arrays of fewer dimensions are taken as they are."""
    examples, choices, width = shape
    if choices == 0:
        raise InputError(f"input_ids of shape {list(shape)} hold no choices")
    flat: list[Any] = []
    for name, value in zip(INPUTS, arrays, strict=True):
        array = None if value is None else as_array(name, value)
        if array is not None and array.ndim == 3:
            if array.shape != shape:
                raise InputError(f"{name} has shape {list(array.shape)}, input_ids has {list(shape)}")
            array = array.reshape(examples * choices, width)
        flat.append(array)
    cu_choices = np.arange(examples + 1, dtype=np.int64) * choices
    return replace(Batch.from_padded(*flat), cu_choices=cu_choices)

"""Task heads with a row of scores for every token: labels of words, spans, masked words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil.arrays import Array
from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import UsageError
from minidistil.losses import IGNORE_INDEX, binary_cross_entropy, cross_entropy
from minidistil.model.checks import class_target, integer_target, output_of
from minidistil.model.context import HEAD_SITE, Context
from minidistil.model.heads import Head, Losses, Outputs, Scales
from minidistil.model.modules import Linear, Norm
from minidistil.model.taps import activation_gradient
from minidistil.parameters import ParameterSpec


@dataclass(frozen=True)
class TokenHead(Head):
    """One row of scores for each token: named entities and other labels of words."""

    config: ModelConfig
    classifier: Linear
    dropout: float
    pipeline_tag: ClassVar[str] = "token-classification"
    by_token: ClassVar[bool] = True

    @property
    def target_names(self) -> tuple[str, ...]:
        return ("labels",)

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def classes(self) -> list[str]:
        return self.config.label_names

    def specs(self) -> list[ParameterSpec]:
        return self.classifier.specs()

    def taps(self) -> dict[str, str]:
        return {"classifier.input": "", "classifier.output": self.classifier.name}

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        y, drop = ctx.ops.dropout_forward(x, ctx.token_mask(self.dropout, HEAD_SITE))
        logits, linear = self.classifier.forward(y, ctx)  # [T, H] -> [T, C]
        if ctx.taps is not None:
            ctx.taps.put("classifier", input=y, output=logits)
        return {"logits": logits}, (drop, linear)

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        if "logits" not in douts:
            return None
        drop, linear = cache
        dy = self.classifier.backward(douts["logits"], linear, ctx)
        if ctx.taps is not None:
            ctx.taps.put("classifier", output=douts["logits"], input=dy)
        return np.asarray(ctx.ops.dropout_backward(dy, drop))

    def counts(self, batch: Batch) -> dict[str, int]:
        labels = class_target(batch, "labels", batch.num_tokens, self.config.num_labels)
        return {"tokens": int((labels != IGNORE_INDEX).sum())}

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        batch = ctx.batch
        labels = class_target(batch, "labels", batch.num_tokens, self.config.num_labels)
        loss = cross_entropy(output_of(outputs, "logits", batch.num_tokens), labels)
        return Losses({"tokens": loss.sum}, {"logits": loss.grad * scales["tokens"]})


@dataclass(frozen=True)
class SpanHead(Head):
    """Two scores for each token: an answer starts here, it ends here (SQuAD).

    The loss is a softmax over the tokens of each sequence. (transformers takes it over padding too, so
    its loss depends on how far a batch was padded; over unpadded sequences the two agree.)
    """

    outputs: Linear
    dropout: float
    pipeline_tag: ClassVar[str] = "question-answering"
    by_token: ClassVar[bool] = True

    @property
    def target_names(self) -> tuple[str, ...]:
        return ("start_positions", "end_positions")

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return ("start_logits", "end_logits")

    def num_score_rows(self, batch: Batch) -> int:
        return 2 * batch.num_sequences

    def score_rows(self, scores: Array, batch: Batch) -> Array:
        """[T] -> [B, L]: a softmax over the tokens of each sequence."""
        return batch.unpack(scores, fill=-np.inf)

    def from_score_rows(self, rows: Array, batch: Batch) -> Array:
        return batch.pack(rows)

    def specs(self) -> list[ParameterSpec]:
        return self.outputs.specs()

    def taps(self) -> dict[str, str]:
        return {"classifier.input": "", "classifier.output": self.outputs.name}

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        y, drop = ctx.ops.dropout_forward(x, ctx.token_mask(self.dropout, HEAD_SITE))
        logits, linear = self.outputs.forward(y, ctx)  # [T, H] -> [T, 2]
        if ctx.taps is not None:
            ctx.taps.put("classifier", input=y, output=logits)
        return {"start_logits": logits[:, 0], "end_logits": logits[:, 1]}, (drop, linear)

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        given = [douts[name] for name in ("start_logits", "end_logits") if name in douts]
        if not given:
            return None
        drop, linear = cache
        zero = np.zeros_like(given[0])
        dlogits = np.stack([douts.get("start_logits", zero), douts.get("end_logits", zero)], axis=1)  # [T, 2]
        dy = self.outputs.backward(dlogits, linear, ctx)
        if ctx.taps is not None:
            ctx.taps.put("classifier", output=dlogits, input=dy)
        return np.asarray(ctx.ops.dropout_backward(dy, drop))

    def counts(self, batch: Batch) -> dict[str, int]:
        inside = [self._inside(batch, name) for name in ("start_positions", "end_positions")]
        return {"span": int(inside[0].sum() + inside[1].sum())}

    @staticmethod
    def _inside(batch: Batch, name: str) -> npt.NDArray[np.bool_]:
        """bool [B]: answers truncated away are not counted."""
        positions = integer_target(batch, name, batch.num_sequences)
        return (positions >= 0) & (positions < batch.lengths)

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        """Mean over starts and ends together: with no answer cut off, transformers' (start + end) / 2."""
        batch, total, douts = ctx.batch, 0.0, {}
        for name in ("start", "end"):
            logits = output_of(outputs, f"{name}_logits", batch.num_tokens)
            positions = integer_target(batch, f"{name}_positions", batch.num_sequences)
            grad = np.zeros_like(logits)
            for b in np.flatnonzero(self._inside(batch, f"{name}_positions")):
                rows = slice(batch.cu_seqlens[b], batch.cu_seqlens[b + 1])
                loss = cross_entropy(logits[None, rows], positions[b : b + 1])  # one row over L tokens
                total, grad[rows] = total + loss.sum, loss.grad[0]
            douts[f"{name}_logits"] = grad * scales["span"]
        return Losses({"span": total}, douts)


def transform_forward(
    x: Array, dense: Linear, activation: str, ctx: Context, taps: str = "transform"
) -> tuple[Array, Any]:
    """activation(W x + b) of each token, [T, H] -> [T, E]; the names of its taps begin with `taps`."""
    layer = ctx.params.linear(*dense.names)
    y, cache = ctx.ops.linear_activation_forward(x, *layer, activation)
    if ctx.taps is not None:
        ctx.taps.put(taps, input=x, output=lambda: ctx.ops.linear_forward(x, *layer)[0], activated=y)
    return y, (cache, x)


def transform_backward(
    dy: Array, dense: Linear, activation: str, cache: Any, ctx: Context, taps: str = "transform"
) -> Array:
    inner, x = cache
    dx, _, _ = ctx.ops.linear_activation_backward(dy, inner, *ctx.gradients(*dense.names))
    if ctx.taps is not None:
        before = partial(activation_gradient, ctx.ops, activation, dy, x, ctx.params.linear(*dense.names))
        ctx.taps.put(taps, activated=dy, output=before, input=dx)
    return np.asarray(dx)


@dataclass(frozen=True)
class ReplacedTokenHead(Head):
    """One score for each token: the logit of its being replaced, and not the text's own (ELECTRA).

    The loss is the mean over tokens of -log sigmoid(z) of those replaced, label 1, and -log(1 - sigmoid(z))
    of the others, label 0. A token with the label -100 is left out.
    """

    dense: Linear
    activation: str
    prediction: Linear
    by_token: ClassVar[bool] = True

    @property
    def target_names(self) -> tuple[str, ...]:
        return ("labels",)

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def score_rows(self, scores: Array, batch: Batch) -> Array:
        """[T] -> [T, 2]: softmax((0, z)) is (1 - sigmoid(z), sigmoid(z))."""
        return np.stack([np.zeros_like(scores), scores], axis=1)

    def from_score_rows(self, rows: Array, batch: Batch) -> Array:
        return np.ascontiguousarray(rows[:, 1])

    def specs(self) -> list[ParameterSpec]:
        return self.dense.specs() + self.prediction.specs()

    def taps(self) -> dict[str, str]:
        named = {"input": "", "output": self.dense.name, "activated": "", "score": self.prediction.name}
        return {f"discriminator.{name}": module for name, module in named.items()}

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        y, transform = transform_forward(x, self.dense, self.activation, ctx, "discriminator")
        logits, linear = self.prediction.forward(y, ctx)  # [T, H] -> [T, 1]
        if ctx.taps is not None:
            ctx.taps.put("discriminator", score=logits)
        return {"logits": logits[:, 0]}, (transform, linear)

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        if "logits" not in douts:
            return None
        transform, linear = cache
        dlogits = np.ascontiguousarray(douts["logits"])[:, None]
        if ctx.taps is not None:
            ctx.taps.put("discriminator", score=dlogits)
        dy = self.prediction.backward(dlogits, linear, ctx)
        return transform_backward(dy, self.dense, self.activation, transform, ctx, "discriminator")

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"replaced_tokens": int((class_target(batch, "labels", batch.num_tokens, 2) >= 0).sum())}

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        labels = class_target(ctx.batch, "labels", ctx.batch.num_tokens, 2)
        logits = output_of(outputs, "logits", ctx.batch.num_tokens)
        rows, grad = labels >= 0, np.zeros_like(logits)
        loss = binary_cross_entropy(logits[rows, None], labels[rows, None].astype(logits.dtype))
        grad[rows] = loss.grad[:, 0] * scales["replaced_tokens"]
        return Losses({"replaced_tokens": loss.sum}, {"logits": grad})


@dataclass(frozen=True)
class MaskedLMHead(Head):
    """Scores over the vocabulary for each token: transform, then the word table again as decoder."""

    config: ModelConfig
    dense: Linear
    activation: str
    norm: Norm
    decoder: str
    bias: str
    word: str
    output: str = "logits"
    pipeline_tag: ClassVar[str] = "fill-mask"
    by_token: ClassVar[bool] = True
    over_vocabulary: ClassVar[bool] = True

    @property
    def signature(self) -> tuple[object, ...]:
        return (type(self), self.activation)

    @property
    def target_names(self) -> tuple[str, ...]:
        return ("labels",)

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return (self.output,)

    @property
    def decoder_names(self) -> tuple[str, str]:
        """Weight and bias of the last layer. Untied, transformers computes with the decoder's own two."""
        if self.config.tie_word_embeddings:
            return self.word, self.bias
        return self.decoder, self.decoder.removesuffix("weight") + "bias"

    def copies(self) -> dict[str, str]:
        """Tied, the decoder is the word table and its bias is stored twice; untied, the bias is."""
        weight, bias = self.decoder_names
        own = self.decoder.removesuffix("weight") + "bias"
        stored = {self.decoder: weight, own: bias} if self.config.tie_word_embeddings else {self.bias: bias}
        return {alias: name for alias, name in stored.items() if alias != name}

    def specs(self) -> list[ParameterSpec]:
        weight, bias = self.decoder_names
        words, width = self.config.vocab_size, self.norm.width
        specs = [ParameterSpec(bias, (words,), "bias", key="vocab_size")]
        specs += self.dense.specs() + self.norm.specs()
        if not self.config.tie_word_embeddings:
            specs.append(ParameterSpec(weight, (words, width), "weight", key="vocab_size"))
        return specs

    def taps(self) -> dict[str, str]:
        transform = {"input": "", "output": self.dense.name, "activated": "", "norm": self.norm.name}
        decoder = {"decoder.output": self.decoder.removesuffix(".weight")}
        return {f"transform.{name}": module for name, module in transform.items()} | decoder

    def forward(self, x: Array, ctx: Context) -> tuple[Outputs, Any]:
        """Logits [T, V]; or without them, in the same place of the output, what they are computed from.

        "features" [T, E] are the input of the last layer, as wide as the word table. A row of logits is forty
        times as long.
        """
        y, transform = transform_forward(x, self.dense, self.activation, ctx)  # [T, H] -> [T, E]
        y, norm = self.norm.forward(y, ctx)
        if ctx.taps is not None:
            ctx.taps.put("transform", norm=y)
        if not ctx.logits:
            return {"features": y}, (transform, norm, None)
        logits, linear = ctx.ops.linear_forward(y, *ctx.params.linear(*self.decoder_names))  # -> [T, V]
        if ctx.taps is not None:
            ctx.taps.put("decoder", output=logits)
        return {self.output: logits}, (transform, norm, linear)

    def backward(self, douts: Outputs, cache: Any, ctx: Context) -> Array | None:
        transform, norm, linear = cache
        if linear is not None and self.output in douts:
            dy, _, _ = ctx.ops.linear_backward(
                douts[self.output], linear, *ctx.gradients(*self.decoder_names)
            )
            if ctx.taps is not None:
                ctx.taps.put("decoder", output=douts[self.output])
        elif linear is None and "features" in douts:
            dy = douts["features"]
        else:
            return None
        if ctx.taps is not None:
            ctx.taps.put("transform", norm=dy)
        return transform_backward(
            self.norm.backward(dy, norm, ctx), self.dense, self.activation, transform, ctx
        )

    def counts(self, batch: Batch) -> dict[str, int]:
        labels = class_target(batch, "labels", batch.num_tokens, self.config.vocab_size)
        return {"masked_lm": int((labels != IGNORE_INDEX).sum())}

    def losses(self, outputs: Outputs, ctx: Context, scales: Scales) -> Losses:
        """From logits if they were computed, else from features: chunks of the labelled tokens alone."""
        tokens, scale = ctx.batch.num_tokens, scales["masked_lm"]
        labels = class_target(ctx.batch, "labels", tokens, self.config.vocab_size)
        if self.output in outputs:
            loss = cross_entropy(output_of(outputs, self.output, tokens), labels)
            return Losses({"masked_lm": loss.sum}, {self.output: loss.grad * scale})
        if ctx.grads is None:
            raise UsageError("outputs without logits need `grads`: the last layer's gradients go there")
        dweight, dbias = ctx.gradients(*self.decoder_names)
        sums, dfeatures = ctx.ops.linear_cross_entropy(
            output_of(outputs, "features", tokens), *ctx.params.linear(*self.decoder_names),
            labels=labels, label_scale=scale, dweight=dweight, dbias=dbias,
        )[:2]  # fmt: skip
        return Losses({"masked_lm": sums.labels}, {"features": dfeatures})

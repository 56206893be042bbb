"""Task heads with a row of scores for every token: labels of words, spans, masked words."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minidistil.batch import Batch
from minidistil.config import ModelConfig
from minidistil.errors import UsageError
from minidistil.losses import IGNORE_INDEX, cross_entropy
from minidistil.model.context import HEAD_SITE, Run
from minidistil.model.heads import Array, Grads, Head, Losses, Outputs, Scales
from minidistil.model.modules import linear_specs, norm_specs
from minidistil.model.targets import class_target, integer_target, output_of
from minidistil.parameters import Parameters, ParameterSpec


@dataclass(frozen=True)
class TokenHead(Head):
    """One row of scores for each token: named entities and other labels of words."""

    classifier: str = "classifier"
    pipeline_tag: ClassVar[str] = "token-classification"
    by_token: ClassVar[bool] = True

    @property
    def target_names(self) -> tuple[str, ...]:
        return ("labels",)

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return ("logits",)

    def classes(self, config: ModelConfig) -> list[str]:
        return config.label_names

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        return linear_specs(self.classifier, config.num_labels, config.hidden_size)

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]:
        config, ops = run.config, run.ops
        mask = run.token_mask(config.token_dropout_prob, config.num_hidden_layers, HEAD_SITE)
        y, drop = ops.dropout_forward(x, mask)
        logits, linear = ops.linear_forward(
            y, *params.linear(f"{self.classifier}.weight", f"{self.classifier}.bias")
        )  # [T, H] -> [T, C]
        return {"logits": logits}, (drop, linear)

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None:
        if "logits" not in douts:
            return None
        drop, linear = cache
        dy, _, _ = ops.linear_backward(
            douts["logits"], linear, grads[f"{self.classifier}.weight"], grads[f"{self.classifier}.bias"]
        )
        return np.asarray(ops.dropout_backward(dy, drop))

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        labels = class_target(batch, "labels", batch.num_tokens, config.num_labels)
        return {"tokens": int((labels != IGNORE_INDEX).sum())}

    def losses(self, outputs: Outputs, params: Parameters, run: Run, scales: Scales, grads: Grads) -> Losses:
        batch = run.batch
        labels = class_target(batch, "labels", batch.num_tokens, run.config.num_labels)
        loss = cross_entropy(output_of(outputs, "logits", batch.num_tokens), labels)
        return Losses({"tokens": loss.sum}, {"logits": loss.grad * scales["tokens"]})


@dataclass(frozen=True)
class SpanHead(Head):
    """Two scores for each token: an answer starts here, it ends here (SQuAD).

    The loss is a softmax over the tokens of each sequence. (transformers takes it over padding too, so
    its loss depends on how far a batch was padded; over unpadded sequences the two agree.)
    """

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

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        return linear_specs("qa_outputs", 2, config.hidden_size)

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]:
        config, ops = run.config, run.ops
        mask = run.token_mask(config.qa_dropout_prob, config.num_hidden_layers, HEAD_SITE)
        y, drop = ops.dropout_forward(x, mask)
        logits, linear = ops.linear_forward(
            y, *params.linear("qa_outputs.weight", "qa_outputs.bias")
        )  # [T, 2]
        return {"start_logits": logits[:, 0], "end_logits": logits[:, 1]}, (drop, linear)

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None:
        given = [douts[name] for name in ("start_logits", "end_logits") if name in douts]
        if not given:
            return None
        drop, linear = cache
        zero = np.zeros_like(given[0])
        dlogits = np.stack([douts.get("start_logits", zero), douts.get("end_logits", zero)], axis=1)  # [T, 2]
        dy, _, _ = ops.linear_backward(dlogits, linear, grads["qa_outputs.weight"], grads["qa_outputs.bias"])
        return np.asarray(ops.dropout_backward(dy, drop))

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        inside = [self._inside(batch, name) for name in ("start_positions", "end_positions")]
        return {"span": int(inside[0].sum() + inside[1].sum())}

    @staticmethod
    def _inside(batch: Batch, name: str) -> npt.NDArray[np.bool_]:
        """bool [B]: answers truncated away are not counted."""
        positions = integer_target(batch, name, batch.num_sequences)
        return (positions >= 0) & (positions < batch.lengths)

    def losses(self, outputs: Outputs, params: Parameters, run: Run, scales: Scales, grads: Grads) -> Losses:
        """Mean over starts and ends together: with no answer cut off, transformers' (start + end) / 2."""
        batch, total, douts = run.batch, 0.0, {}
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


@dataclass(frozen=True)
class MaskedLMHead(Head):
    """Scores over the vocabulary for each token: transform, then the word table again as decoder."""

    dense: str
    norm: str
    decoder: str
    bias: str
    word: str
    output: str = "logits"
    pipeline_tag: ClassVar[str] = "fill-mask"
    by_token: ClassVar[bool] = True
    over_vocabulary: ClassVar[bool] = True

    @property
    def target_names(self) -> tuple[str, ...]:
        return ("labels",)

    @property
    def score_outputs(self) -> tuple[str, ...]:
        return (self.output,)

    def decoder_names(self, config: ModelConfig) -> tuple[str, str]:
        """Weight and bias of the last layer. Untied, transformers computes with the decoder's own two."""
        if config.tie_word_embeddings:
            return self.word, self.bias
        return self.decoder, self.decoder.removesuffix("weight") + "bias"

    def copies(self, config: ModelConfig) -> dict[str, str]:
        """Tied, the decoder is the word table and its bias is stored twice; untied, the bias is."""
        weight, bias = self.decoder_names(config)
        own = self.decoder.removesuffix("weight") + "bias"
        stored = {self.decoder: weight, own: bias} if config.tie_word_embeddings else {self.bias: bias}
        return {alias: name for alias, name in stored.items() if alias != name}

    def specs(self, config: ModelConfig) -> list[ParameterSpec]:
        H = config.hidden_size
        weight, bias = self.decoder_names(config)
        specs = [ParameterSpec(bias, (config.vocab_size,), "bias", key="vocab_size")]
        specs += linear_specs(self.dense, H, H) + norm_specs(self.norm, H)
        if not config.tie_word_embeddings:
            specs.append(ParameterSpec(weight, (config.vocab_size, H), "weight"))
        return specs

    def forward(self, x: Array, params: Parameters, run: Run) -> tuple[Outputs, Any]:
        """Logits [T, V]; or without them, in the same place of the output, what they are computed from.

        "features" [T, H] are the input of the last layer. A row of logits is forty times as long.
        """
        config, ops = run.config, run.ops
        y, transform = ops.linear_activation_forward(
            x, *params.linear(f"{self.dense}.weight", f"{self.dense}.bias"), config.hidden_act
        )  # [T, H] -> [T, H]
        y, norm = ops.layernorm_forward(
            y, params.array(f"{self.norm}.weight"), params.array(f"{self.norm}.bias"), config.layer_norm_eps
        )
        weight, bias = self.decoder_names(config)
        if not run.logits:
            return {"features": y}, (transform, norm, None, weight, bias)
        logits, linear = ops.linear_forward(y, *params.linear(weight, bias))  # [T, H] -> [T, V]
        return {self.output: logits}, (transform, norm, linear, weight, bias)

    def backward(self, douts: Outputs, cache: Any, grads: Parameters, ops: ModuleType) -> Array | None:
        transform, norm, linear, weight, bias = cache
        if linear is not None and self.output in douts:
            dy, _, _ = ops.linear_backward(douts[self.output], linear, grads[weight], grads[bias])
        elif linear is None and "features" in douts:
            dy = douts["features"]
        else:
            return None
        dy, _, _ = ops.layernorm_backward(dy, norm, grads[f"{self.norm}.weight"], grads[f"{self.norm}.bias"])
        dx, _, _ = ops.linear_activation_backward(
            dy, transform, grads[f"{self.dense}.weight"], grads[f"{self.dense}.bias"]
        )
        return np.asarray(dx)

    def counts(self, batch: Batch, config: ModelConfig) -> dict[str, int]:
        labels = class_target(batch, "labels", batch.num_tokens, config.vocab_size)
        return {"masked_lm": int((labels != IGNORE_INDEX).sum())}

    def losses(self, outputs: Outputs, params: Parameters, run: Run, scales: Scales, grads: Grads) -> Losses:
        """From logits if they were computed, else from features: chunks of the labelled tokens alone."""
        tokens, scale = run.batch.num_tokens, scales["masked_lm"]
        labels = class_target(run.batch, "labels", tokens, run.config.vocab_size)
        if self.output in outputs:
            loss = cross_entropy(output_of(outputs, self.output, tokens), labels)
            return Losses({"masked_lm": loss.sum}, {self.output: loss.grad * scale})
        if grads is None:
            raise UsageError("outputs without logits need `grads`: the last layer's gradients go there")
        weight, bias = self.decoder_names(run.config)
        features = output_of(outputs, "features", tokens)
        sums, dfeatures = run.ops.linear_cross_entropy(
            features, *params.linear(weight, bias), labels=labels, label_scale=scale,
            dweight=grads[weight], dbias=grads[bias],
        )[:2]  # fmt: skip
        return Losses({"masked_lm": sums.labels}, {"features": dfeatures})

"""A BERT once more, in plain NumPy, whose every number can be looked at, moved, or got wrong.

Tests of taps move a number and see what becomes of the outputs. Tests of `compare` get one operation wrong
and ask which it was. Nothing of the package computes here but the random words of dropout.
"""

import math
from itertools import pairwise

import numpy as np

from minidistil.model.context import (
    ATTENTION_OUTPUT_SITE,
    ATTENTION_SITE,
    EMBEDDING_SITE,
    HEAD_SITE,
    OUTPUT_SITE,
)
from minidistil.model.heads import PooledHead, Pooler
from minidistil.model.outputs import unpack_attention
from minidistil.model.token_heads import MaskedLMHead, SpanHead
from minidistil.ops.dropout import keep_mask

erf = np.vectorize(math.erf)


def gelu(x, fault=""):
    if fault == "tanh in place of erf":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class PlainBert:
    """One pass of a model's weights over a batch.

    Parameters
    ----------
    model, batch
    move : function of a tap's name and value, which gives the value to go on with
    fault : str
        Operation to get wrong, see `FAULTS`.
    dropout : Dropout, optional

    Attributes
    ----------
    taps, outputs : dict
        By name, packed.
    """

    def __init__(self, model, batch, *, move=lambda name, value: value, fault="", dropout=None):
        self.model, self.batch, self.p = model, batch, model.params
        self.move, self.fault, self.dropout = move, fault, dropout
        self.taps, self.outputs = {}, {}
        x = self.outputs["hidden_states.0"] = self.embeddings()
        for i in range(len(model.encoder.layers)):
            x = self.outputs[f"hidden_states.{i + 1}"] = self.layer(i, x)
        self.outputs["last_hidden_state"] = x
        for head in model.heads:
            self.head(head, x)

    def tap(self, name, value):
        self.taps[name] = self.move(name, value)
        return self.taps[name]

    def linear(self, x, module, fault=""):
        bias = 0 if fault and self.fault == fault else self.p[f"{module.name}.bias"]
        return x @ self.p[f"{module.name}.weight"].T + bias

    def norm(self, x, module):
        eps = 1e-5 if self.fault == "eps" else module.eps
        centred = x - x.mean(-1, keepdims=True)
        count = x.shape[-1] - (self.fault == "variance of a sample")
        variance = (centred**2).sum(-1, keepdims=True) / count
        gain, bias = self.p[f"{module.name}.weight"], self.p[f"{module.name}.bias"]
        return centred / np.sqrt(variance + eps) * gain + bias

    def drop(self, x, rate, layer, site):
        """Dropout of rows of tokens, or of the first token of each sequence where there are as many rows."""
        if self.dropout is None or not rate:
            return x
        example, position = self.batch.example_ids[self.batch.sequence_ids], self.batch.token_index
        if len(x) != len(position):
            example, position = self.batch.example_ids, np.zeros(len(x), np.int32)
        mask = self.dropout.mask(rate, layer, site, example, position)
        return x * keep_mask(mask, x.shape[1]) / (1 - rate)

    def embeddings(self):
        module, batch = self.model.encoder.embeddings, self.batch
        positions = module.position.ids_of(batch) + (self.fault == "positions from 1")
        x = self.p[module.word.name][batch.input_ids] + self.p[module.position.name][positions]
        for table in module.types if self.fault != "no token types" else ():
            x = x + self.p[table.name][table.ids_of(batch)]
        x = self.tap("embeddings.norm", self.norm(self.tap("embeddings.sum", x), module.norm))
        return self.drop(x, module.dropout, 0, EMBEDDING_SITE)

    def layer(self, i, x):
        attention, feed_forward = self.model.encoder.layers[i].sublayers
        if self.fault == "the first layer twice":
            attention, feed_forward = self.model.encoder.layers[0].sublayers
        at = f"layer.{i}.attention."
        y = self.tap(at + "output", self.attention(i, x, attention.f))
        y = self.drop(y, attention.dropout, i, ATTENTION_OUTPUT_SITE)
        total = self.tap(at + "residual", y if self.fault == "no residual" else x + y)
        x = self.tap(at + "norm", self.norm(total, attention.norm))

        at, f = f"layer.{i}.feed_forward.", feed_forward.f
        wide = self.tap(
            at + "up", self.linear(self.tap(at + "input", x), f.up, "no bias of the first product")
        )
        wide = self.tap(at + "activated", gelu(wide, self.fault))
        y = self.tap(at + "output", self.linear(wide, f.down, "no bias of the second product"))
        total = self.tap(at + "residual", x + self.drop(y, feed_forward.dropout, i, OUTPUT_SITE))
        return self.tap(at + "norm", self.norm(total, feed_forward.norm))

    def attention(self, i, x, f):
        at, A = f"layer.{i}.attention.", f.heads
        x = self.tap(at + "input", x)
        query, key = (f.key, f.query) if self.fault == "q and k swapped" else (f.query, f.key)
        q, k = self.tap(at + "q", self.linear(x, query)), self.tap(at + "k", self.linear(x, key))
        v = self.tap(at + "v", self.linear(x, f.value, "no bias of the values"))

        def heads(rows):
            return rows.reshape(len(rows), A, -1).transpose(1, 0, 2)

        parts = [slice(a, b) for a, b in pairwise(self.batch.cu_seqlens)]
        scale = 1 if self.fault == "no scale" else 1 / math.sqrt(x.shape[1] // A)
        scores = [heads(q[part]) @ heads(k[part]).transpose(0, 2, 1) * scale for part in parts]
        scores = self.tap(at + "scores", scores)
        if self.fault == "softmax over queries":
            p = [softmax(s.transpose(0, 2, 1)).transpose(0, 2, 1) for s in scores]
        elif self.fault == "attends to padding":  # of two columns, whose scores are 0
            p = [softmax(np.pad(s, [(0, 0), (0, 0), (0, 2)]))[:, :, :-2] for s in scores]
        else:
            p = [softmax(s) for s in scores]
        p = self.tap(at + "probabilities", p)
        context = np.empty_like(q)
        for part, m in zip(parts, self.dropped_maps(i, f.dropout, parts, p), strict=True):
            m = m.transpose(0, 2, 1) if self.fault == "probabilities transposed" else m
            o = m @ heads(v[part])
            o = o if self.fault == "heads not put side by side" else o.transpose(1, 0, 2)
            context[part] = o.reshape(-1, x.shape[1])
        return self.linear(self.tap(at + "context", context), f.out, "no bias of the output product")

    def dropped_maps(self, i, rate, parts, maps):
        if self.dropout is None or not rate:
            return maps
        found = []
        for part, p in zip(parts, maps, strict=True):
            example, position = self.batch.example_ids[self.batch.sequence_ids], self.batch.token_index
            mask = self.dropout.mask(rate, i, ATTENTION_SITE, example[part], position[part])
            keep = np.stack([keep_mask(mask, p.shape[2], plane=head) for head in range(len(p))])
            found.append(p * keep / (1 - rate))
        return found

    def head(self, head, x):
        layers = len(self.model.encoder.layers)
        if isinstance(head, Pooler):
            self.outputs["pooler_output"] = self.pooler(head, x)
        elif isinstance(head, MaskedLMHead):
            y = self.tap("transform.output", self.linear(self.tap("transform.input", x), head.dense))
            y = self.tap("transform.norm", self.norm(self.tap("transform.activated", gelu(y)), head.norm))
            weight, bias = head.decoder_names
            self.outputs[head.output] = self.tap("decoder.output", y @ self.p[weight].T + self.p[bias])
        else:
            pooled, module = isinstance(head, PooledHead), getattr(head, "classifier", None) or head.outputs
            y = self.pooler(head.pooler, x) if pooled else x
            y = self.tap("classifier.input", self.drop(y, head.dropout, layers, HEAD_SITE))
            y = self.tap("classifier.output", self.linear(y, module))
            if isinstance(head, SpanHead):
                self.outputs |= {"start_logits": y[:, 0], "end_logits": y[:, 1]}
            else:
                self.outputs[head.output if pooled else "logits"] = y[:, 0] if head.over_choices else y

    def pooler(self, head, x):
        rows = self.batch.cu_seqlens[1:] - 1 if self.fault == "the last token" else self.batch.cls_rows
        y = self.tap("pooler.output", self.linear(self.tap("pooler.input", x[rows]), head.dense))
        activated = np.tanh(y) if head.activation == "tanh" else np.maximum(y, 0)
        return self.tap("pooler.activated", y if self.fault == "no tanh" else activated)

    def rectangular(self):
        """Taps and outputs as another implementation would save them: [B, L, ...], maps [B, A, L, L]."""
        by_sequence, batch = self.model.sequence_taps(), self.batch
        by_token = {
            "last_hidden_state",
            *(name for name in self.outputs if name.startswith("hidden_states.")),
        }
        by_token = by_token.union(*(head.token_outputs for head in self.model.heads))
        found = {}
        for name, value in self.taps.items():
            if isinstance(value, list):
                found[name] = unpack_attention(value, batch)
            else:
                found[name] = value if name in by_sequence else batch.unpack(value)
        return found | {k: batch.unpack(v) if k in by_token else v for k, v in self.outputs.items()}


# What can be got wrong, and the first number that is wrong then.
FAULTS = {
    "no token types": "embeddings.sum",
    "positions from 1": "embeddings.sum",
    "eps": "embeddings.norm",
    "variance of a sample": "embeddings.norm",
    "q and k swapped": "layer.0.attention.q",
    "no bias of the values": "layer.0.attention.v",
    "no scale": "layer.0.attention.scores",
    "softmax over queries": "layer.0.attention.probabilities",
    "attends to padding": "layer.0.attention.probabilities",
    "probabilities transposed": "layer.0.attention.context",
    "heads not put side by side": "layer.0.attention.context",
    "no bias of the output product": "layer.0.attention.output",
    "no residual": "layer.0.attention.residual",
    "no bias of the first product": "layer.0.feed_forward.up",
    "tanh in place of erf": "layer.0.feed_forward.activated",
    "no bias of the second product": "layer.0.feed_forward.output",
    "the first layer twice": "layer.1.attention.q",
    "the last token": "pooler.input",
    "no tanh": "pooler.activated",
}

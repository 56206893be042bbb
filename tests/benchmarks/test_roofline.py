"""The roofline: both limits are measured, and every kernel of a forward pass has its row."""

from types import SimpleNamespace

import numpy as np

from benchmarks import roofline, steps
from minidistil import BertConfig, BertModel, kernels
from minidistil.batch import Batch


def test_limits_and_rows_of_a_forward_pass(monkeypatch):
    monkeypatch.setattr(roofline, "READ", 10_000)
    monkeypatch.setattr(roofline, "SECONDS", 0.01)
    monkeypatch.setattr(steps, "TURN", 0.001)
    peak, bandwidth = roofline.limits()
    assert min(peak, bandwidth) > 0

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    model = BertModel(BertConfig(vocab_size=30, **sizes)).eval()
    batch = Batch.from_sequences([np.arange(5), np.arange(3)])
    job = SimpleNamespace(run=lambda: model.forward(batch, keep_cache=False))
    monkeypatch.setattr(roofline, "find", lambda name: name)
    monkeypatch.setattr(roofline, "build", lambda workload, threads: job)
    before = kernels.attention_forward
    rows = [row.split("|")[1:3] for row in roofline.table("tiny", peak, bandwidth).splitlines()[4:]]
    calls = {kernel.strip(): int(count) for kernel, count in rows}
    # A layer has four products, of qkv, the attention's output, up and down; the pooler has one.
    expected = {"product, forward": 9, "attention forward": 2, "residual layernorm forward": 4}
    assert expected.items() <= calls.items()
    assert kernels.attention_forward is before  # nothing is watched any more

"""minidistil warmup, and what the first run says."""

import json
import os
import subprocess
import sys
from pathlib import Path

from minidistil import kernels
from minidistil.cli.main import main
from minidistil.kernels.engine import warmup

TESTS = Path(__file__).parents[1]


def test_it_says_what_is_ready(capsys):
    assert main(["warmup", "--json", "-q"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts) == {"seconds", "instructions", "threads"}
    assert main(["warmup"]) == 0
    captured = capsys.readouterr()
    assert "kernels are ready" in captured.out
    assert "compiling" in captured.err


def test_a_model_needs_nothing_that_is_not_warm(tmp_path):
    """After `warmup` in an empty cache, a step of training compiles nothing.

    And what is computed by the process that compiled, and by the next one, has the same bits.
    """
    code = """
import numpy as np
from numba.core import event
from minidistil.kernels.engine.warmup import warmup
warmup()
from minidistil import BertConfig, BertForMaskedLM, BertForSequenceClassification
from minidistil.ops.dropout import Dropout
from minidistil.train.optimizer import AdamW
sizes = {"vocab_size": 50, "hidden_size": 24, "num_attention_heads": 2, "intermediate_size": 32}
config = BertConfig(num_hidden_layers=1, **sizes)
compiled = []
class Listener(event.Listener):
    def on_start(self, event): compiled.append(str(event.data["dispatcher"].py_func))
    def on_end(self, event): pass
with event.install_listener("numba:compile", Listener()):
    for cls in (BertForMaskedLM, BertForSequenceClassification):
        model = cls(config)
        labels = np.array([[1, -100]]) if cls is BertForMaskedLM else np.array([1])
        _, grads = model.loss_and_grads([[3, 4]], labels=labels, dropout=Dropout(0, 0))
        AdamW(model.params, model.backend, lr=0.1).step(grads)
        model.eval()([[3, 4]])
print(compiled)
"""
    show = "import kernel_bits; print(kernel_bits.bits())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(TESTS)}
    first, second = (
        subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        for program in (code + show, show)
    )
    assert first.stdout.startswith("[]\n{"), first.stdout + first.stderr
    assert first.stdout == "[]\n" + second.stdout


def test_a_second_process_begins_at_the_other_end(monkeypatch):
    """It ends by itself when all is compiled (as it is here), and is not left behind."""
    monkeypatch.setattr(warmup.threads, "available_cores", lambda: 2)
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, command, **options):
            started.append(self)
            super().__init__(command, **options)

    monkeypatch.setattr(warmup.subprocess, "Popen", Popen)
    with warmup.second_process():
        assert started[0].wait(timeout=300) == 0
    with warmup.second_process():
        pass
    assert started[1].returncode is not None
    monkeypatch.setattr(warmup.threads, "available_cores", lambda: 1)
    with warmup.second_process():
        assert len(started) == 2


def test_every_kernel_is_warmed(monkeypatch):
    called = set()
    for name in kernels.__all__:
        function = getattr(kernels, name)
        if callable(function):
            monkeypatch.setattr(
                kernels, name, lambda *a, f=function, n=name, **k: (called.add(n), f(*a, **k))[1]
            )
    warmup.warmup()
    heavy = {"linear", "linear_activation", "feed_forward", "attention", "residual_layernorm", "embedding"}
    assert {f"{name}_{way}" for name in heavy for way in ("forward", "backward")} <= called
    assert {"adamw_step", "global_norm", "linear_cross_entropy", "dropout_forward"} <= called

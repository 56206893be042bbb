"""Guards against getting slower without noticing: counts of what is done, since times cannot be trusted."""

import itertools
import math
import os
import re

import numpy as np
import pytest
from llvmlite import binding, ir

from minidistil import BertConfig
from minidistil.batch import Batch
from minidistil.errors import UsageError
from minidistil.kernels import attention
from minidistil.kernels.engine import native, parallel
from minidistil.kernels.engine.workspace import workspace
from minidistil.kernels.gemm import blas, blocked, micro
from minidistil.kernels.gemm.operands import OPERANDS
from minidistil.model import BertForMaskedLM, BertForSequenceClassification
from minidistil.train.memory_plan import plan_training

SIZES = {
    "vocab_size": 400,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
}
LENGTHS = (3, 60, 17, 1, 40)


@pytest.fixture
def products(monkeypatch):
    """Multiply-adds of every matrix product while a test runs."""
    done = []

    def count(module, a_at, c_at):
        multiply = module.multiply

        def counting(*args):
            a, transposed, c = args[a_at], args[a_at + 1], args[c_at]
            done.append(c.size * (a.shape[0] if transposed else a.shape[1]))
            return multiply(*args)

        monkeypatch.setattr(module, "multiply", counting)

    count(blocked, 2, 6)
    count(blas, 0, 4)
    return done


def batch(vocabulary, **targets):
    rng = np.random.default_rng(0)
    return Batch.from_sequences([rng.integers(0, vocabulary, n) for n in LENGTHS], targets=targets)


def weights_of_layers(config):
    return config.num_hidden_layers * (
        4 * config.hidden_size**2 + 2 * config.hidden_size * config.intermediate_size
    )


def test_a_forward_pass_multiplies_each_token_with_each_weight_once(products):
    model = BertForSequenceClassification(BertConfig(**SIZES))
    model.forward(batch(400), keep_cache=False)
    heads = len(LENGTHS) * (64 * 64 + 2 * 64)
    assert sum(products) == sum(LENGTHS) * weights_of_layers(model.config) + heads


def test_a_backward_pass_multiplies_twice_as_much(products):
    model = BertForSequenceClassification(BertConfig(**SIZES))
    data = batch(400, labels=np.array([0, 1, 0, 1, 1]))
    outputs, cache = model.forward(data)
    forward = sum(products)
    products.clear()
    grads = model.params.like()
    model.backward(model.losses(outputs, data, grads=grads).douts, cache, grads)
    assert sum(products) == 2 * forward


def test_words_are_scored_for_labelled_tokens_alone(products):
    model = BertForMaskedLM(BertConfig(**SIZES))
    labels = np.full(sum(LENGTHS), -100)
    labels[[4, 70]] = 9
    data = batch(400, labels=labels)
    outputs, _ = model.forward(data, logits=False)
    products.clear()
    model.losses(outputs, data, grads=model.params.like())
    assert sum(products) == 3 * 2 * 400 * 64  # logits, and the gradients of features and of weights


def test_losses_without_logits_never_touch_the_parameters():
    model = BertForMaskedLM(BertConfig(**SIZES))
    data = batch(400, labels=np.zeros(sum(LENGTHS), int))
    outputs, _ = model.forward(data, logits=False)
    before = model.params.flat.copy()
    with pytest.raises(UsageError, match="grads"):
        model.losses(outputs, data)
    assert (model.params.flat == before).all()


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="plain Python uses no workspace block")
def test_a_step_keeps_no_more_than_is_planned():
    model = BertForSequenceClassification(BertConfig(**SIZES | {"max_position_embeddings": 512}))
    rng = np.random.default_rng(0)
    data = Batch.from_sequences(
        list(rng.integers(0, 400, (16, 512))), targets={"labels": rng.integers(0, 2, 16)}
    )
    workspace.clear()
    before = workspace.used
    outputs, cache = model.forward(data)
    kept = workspace.used - before
    grads = model.params.like()
    model.backward(model.losses(outputs, data, grads=grads).douts, cache, grads)
    plan = plan_training(type(model), model.config, 16 * 512)
    assert kept <= plan.kept
    assert workspace.peak - before <= plan.kept + plan.buffers


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
def test_rows_are_packed_about_once(threads):
    """A whole work item packs its rows once; those of the last blocks are packed by each of theirs."""
    for rows in (257, 1024, 3072, 8192):
        for columns in (384, 768, 3072, 30522):
            blocks, whole, splits = blocked.share(rows, columns, threads)
            assert blocks - whole == (0 if threads == 1 else threads)
            assert rows / blocks <= blocked.MC
            assert splits <= blocked.SPLITS
    blocks = 2 * math.ceil(8192 / (blocked.MC) / 2)  # as many for either thread
    assert blocked.share(8192, 768, 2) == (blocks, blocks - 2, 4)


@pytest.mark.skipif(native.TARGET is native.PLAIN, reason="there is no micro-kernel")
def test_the_tile_stays_in_registers():
    """The loop of the largest tile multiplies and adds rows x vectors times, and never touches the stack."""
    module = ir.Module()
    module.triple = binding.get_process_triple()
    micro._tile_of(module, "tile", OPERANDS["float32"], native.MR, native.VECTORS).linkage = "external"
    features = {"avx512": "+avx512f,+avx512vl,+avx512dq", "avx2": "+avx2,+fma"}[native.TARGET.name]
    machine = binding.Target.from_default_triple().create_target_machine(features=features, opt=3)
    assembly = machine.emit_assembly(binding.parse_assembly(str(module)))
    # From label to label, and of each part what comes before its first jump: the loop is one of them.
    parts = [re.split(r"\n\tj", part)[0] for part in re.split(r"\n\.L\w+:", assembly)]
    loop = max(parts, key=lambda part: len(re.findall(r"\bvfmadd", part)))
    assert len(re.findall(r"\bvfmadd", loop)) == native.MR * native.VECTORS
    assert "rsp" not in loop


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize(
    "lengths", [[1], [512], [5, 0, 9], [512] + 50 * [9], 50 * [9] + [512], [128] * 8, [0], []]
)
def test_threads_share_attention_by_its_work(lengths, threads):
    """Every job with work once and in order; no share has more than an equal one and a job."""
    heads, pool = 12, np.zeros(parallel.STATE_SIZE, np.int64)
    pool[parallel.THREADS] = threads
    shares = attention._shares(pool, np.cumsum([0, *lengths]).astype(np.int32), heads)
    work = np.repeat([n * (n + attention.SCORES) for n in lengths], heads)
    parts = len(shares) - 1
    assert not work[: shares[0]].any()
    assert shares[-1] == len(work)
    assert (np.diff(shares) >= 0).all()
    assert parts <= max(1, min(len(work) // 2, threads * parallel.PARTS_PER_THREAD))
    for begin, end in itertools.pairwise(shares):
        assert work[begin:end].sum() <= work.sum() / parts + work.max(initial=0)

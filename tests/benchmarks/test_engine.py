"""Our own engine on a small model: the step it times is the step that training takes."""

import dataclasses

import numpy as np
import pytest
from tiny import CONFIG as TINY
from tiny import make_tokenizer

from benchmarks.engines.minidistil import Answers, Forward, Labels, Training
from benchmarks.padding import pad
from benchmarks.workloads import ADAMW, CLIP, NO_LABEL, Examples, Texts, find
from minidistil import BertConfig
from minidistil.model import BertForQuestionAnswering, BertForSequenceClassification, BertModel
from minidistil.train.objective import ModelLoss

CONFIG = BertConfig(
    vocab_size=4000,
    hidden_size=12,
    num_hidden_layers=6,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=16,
    initializer_range=0.3,
)


@pytest.fixture
def batches():
    rng = np.random.default_rng(0)
    return [
        Examples([rng.integers(1000, 3000, n).astype(np.int32) for n in lengths], rng.integers(0, 2, 3))
        for lengths in ([5, 1, 9], [4, 4, 4])
    ]


def workload(monkeypatch, name, batches):
    chosen = find(name)
    monkeypatch.setattr(type(chosen), "batches", lambda self: batches)
    return dataclasses.replace(chosen)


def test_forward_gives_every_token_once(monkeypatch, batches):
    model = BertModel(CONFIG, backend="numpy", seed=1)
    outputs = Forward(workload(monkeypatch, "forward/minilm/sentences", batches), model).check()
    assert outputs["last_hidden_state"].shape == (27, 12)
    ids, mask = pad(batches[0].sequences)
    expected = model(ids, mask)
    np.testing.assert_allclose(
        outputs["last_hidden_state"][:15], expected.last_hidden_state[mask == 1], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(outputs["pooler_output"][:3], expected.pooler_output, rtol=1e-5, atol=1e-6)


def test_the_first_step_has_the_models_own_loss_and_its_clipped_gradient(monkeypatch, batches):
    model = BertForSequenceClassification(CONFIG, backend="numpy", seed=1)
    ids, mask = pad(batches[0].sequences)
    loss, grads = model.loss_and_grads(ids, mask, labels=batches[0].labels)
    norm = float(np.sqrt(sum((g.astype(float) ** 2).sum() for g in grads.values())))
    assert norm > CLIP  # so that clipping is seen
    before = model.params.flat.copy()

    job = Training(workload(monkeypatch, "finetune/minilm/sentences", batches), model, ModelLoss(model))
    found = job.check()
    assert found["losses"][0] == pytest.approx(loss, rel=1e-5)
    assert len(found["losses"]) == 3
    assert (model.params.flat != before).any()
    names = job.workload.gradients
    assert set(found) == {"losses", *(f"gradient of {name}" for name in names)}
    for name in names:
        expected = grads[name][1000:3000] if "word_embeddings" in name else grads[name]
        np.testing.assert_allclose(found[f"gradient of {name}"], expected * CLIP / norm, rtol=1e-3, atol=1e-5)


def test_timed_steps_drop_out_and_learn(monkeypatch, batches):
    model = BertForSequenceClassification(CONFIG, backend="numpy", seed=1)
    job = Training(workload(monkeypatch, "finetune/minilm/sentences", batches), model, ModelLoss(model))
    quiet = job.step(batches[0], dropout=False)
    name = job.workload.gradients[1]
    np.testing.assert_allclose(job.optimizer.m[name], (1 - ADAMW["betas"][0]) * job.gradient(name), rtol=1e-5)
    noisy = job.step(batches[0], dropout=True)
    assert quiet != noisy
    job.run()
    assert job.optimizer.steps == 4
    assert NO_LABEL not in batches[0].labels


def test_texts_become_scores_in_their_order(monkeypatch, tmp_path):
    texts = ["the film is warm", "dull", "a grim and tired plot with the cast of the film", "funny"]
    contexts = ["the plot", "a film " * 30, "dull", "warm cast"]
    tokenizer = make_tokenizer(tmp_path / "vocabulary")
    config = TINY.replace(max_position_embeddings=48)
    monkeypatch.setattr("benchmarks.engines.minidistil.MODELS", tmp_path)
    monkeypatch.setattr("benchmarks.engines.minidistil.WINDOW", 48)
    for kind, job, pairs in ((BertForSequenceClassification, Labels, None),
                             (BertForQuestionAnswering, Answers, contexts)):  # fmt: skip
        model = kind(config, backend="numpy", seed=1)
        name = "sentences" if pairs is None else "questions"
        chosen = find(f"predict/minilm/{name}")
        model.save_pretrained(tmp_path / chosen.saved, tokenizer=tokenizer)
        monkeypatch.setattr(type(chosen), "texts", lambda self, pairs=pairs: Texts(texts, pairs, []))
        found = job(chosen, model).check()
        if pairs is None:
            encoded = tokenizer.encode(texts)
            logits = [model(ids[None]).logits[0] for ids in encoded.input_ids]
            odds = np.exp(logits)
            wanted = odds / odds.sum(1, keepdims=True)
            np.testing.assert_allclose(found["probabilities"], wanted, rtol=1e-5)
        else:
            first = tokenizer.encode(texts[:1], pairs[:1])
            outputs = model(first.input_ids[0][None], token_type_ids=first.token_type_ids[0][None])
            n = outputs.start_logits.size
            np.testing.assert_allclose(found["starts"][:n], outputs.start_logits[0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(found["ends"][:n], outputs.end_logits[0], rtol=1e-4, atol=1e-6)

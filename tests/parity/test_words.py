"""Masked words as transformers' fill-mask guesses them; multiple choice as its models learn and choose."""

import json

import numpy as np
import pytest
import torch
import transformers
from parity_tools import random_model, tensors, their_gradients, twins
from tiny import CONFIG, SPECIAL, VOCABULARY, make_encoder, make_tokenizer

from minidistil import pipeline
from minidistil.jobs.finetune import FineTuning, FineTuningRecipe
from minidistil.model import load_model
from minidistil.settings import load_recipe

TEXTS = [
    "the [MASK] is warm",
    "[MASK] film and a [MASK] plot",
    "a dull [MASK]",
    "[MASK] [MASK] [MASK] of the cast, clumsy.",
]


@pytest.mark.parametrize("family", ["Bert", "DistilBert"])
def test_fill_mask(family, tmp_path, report):
    """Every word's probability and place in the order; texts as their tokenizer decodes them."""
    sizes = {"vocab_size": len(VOCABULARY), "max_position_embeddings": 24, "hidden_size": 24}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ours = random_model(f"{family}ForMaskedLM", scale=0.4, **sizes)
    ours.save_pretrained(tmp_path, tokenizer=make_tokenizer(tmp_path / "vocabulary"))
    their_pipeline = transformers.pipeline("fill-mask", model=str(tmp_path), top_k=len(VOCABULARY))
    guess = pipeline("fill-mask", tmp_path)
    for text, filling in zip(TEXTS, guess(TEXTS, top_k=len(VOCABULARY)), strict=True):
        theirs = their_pipeline(text)
        theirs = [theirs] if isinstance(theirs[0], dict) else theirs
        assert len(theirs) == len(filling.masks)
        for their_mask, mask in zip(theirs, filling.masks, strict=True):
            words = [t for t in their_mask if t["token_str"] not in SPECIAL]
            report.equal("fill-mask, words in order", [c.token for c in mask.candidates],
                         [t["token_str"] for t in words])  # fmt: skip
            report.relative(
                "fill-mask, probabilities",
                {"scores": np.array([c.score for c in mask.candidates])},
                {"scores": np.array([t["score"] for t in words])},
                1e-5,
            )
    texts = {t["token_str"]: t["sequence"] for t in their_pipeline(TEXTS[0])}
    mine = guess(TEXTS[0], top_k=99)[0].masks[0].candidates
    report.equal("fill-mask, whole texts", [c.text for c in mine], [texts[c.token] for c in mine])
    targets = ["film", "plot", "funny"]
    theirs = their_pipeline(TEXTS[2], targets=targets)
    mine = guess(TEXTS[2], targets=targets)[0].masks[0].candidates
    assert [t["token_str"] for t in theirs] == [c.token for c in mine]
    assert [t["score"] for t in theirs] == pytest.approx([c.score for c in mine], rel=1e-5)


@pytest.mark.parametrize("name", ["BertForMultipleChoice", "DistilBertForMultipleChoice"])
def test_choices_are_learnt_alike(name, report):
    """Loss and every gradient of three examples with four choices each."""
    ours, theirs = twins(name, dtype="float64", scale=0.2, vocab_size=90, num_hidden_layers=2, hidden_size=48,
                         num_attention_heads=4, intermediate_size=64)  # fmt: skip
    rng = np.random.default_rng(3)
    lengths = rng.integers(2, 10, (3, 4, 1))
    mask = (np.arange(9) < lengths).astype(np.int64)
    inputs = {"input_ids": rng.integers(1, 90, (3, 4, 9)), "attention_mask": mask}
    inputs["input_ids"] = np.where(mask == 1, inputs["input_ids"], 0)
    if name.startswith("Bert"):
        inputs["token_type_ids"] = rng.integers(0, 2, (3, 4, 9)) * mask
    labels = {"labels": np.array([3, 0, 2])}
    out = theirs(**tensors(inputs | labels))
    out.loss.backward()
    loss, grads = ours.loss_and_grads(**inputs, **labels)
    mine = {"loss": loss, "logits": ours(**inputs).logits}
    expected = {"loss": out.loss.item(), "logits": out.logits.detach().numpy()}
    report.relative("multiple choice, loss and scores, float64", mine, expected, 1e-9)
    report.gradients("multiple choice, every gradient, float64", grads, their_gradients(theirs), 1e-9)


def test_a_fine_tuned_chooser(tmp_path, report):
    encoder = make_encoder(tmp_path)
    rows = [
        {"context": "the film", "choices": ["is warm", "is dull", "is grim and tired"], "label": 0},
        {"context": "a plot", "choices": ["with the cast", "of a clumsy film", "lovely"], "label": 2},
    ]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = load_recipe(FineTuningRecipe, changes=["train.max_steps=3", "data.max_length=24"])
    FineTuning(
        str(encoder), "multiple-choice", tmp_path / "train.jsonl", recipe, tmp_path / "out", quiet=True
    ).run()
    theirs = transformers.AutoModelForMultipleChoice.from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    choose = pipeline("multiple-choice", tmp_path / "out")
    assert load_model(tmp_path / "out", strict=True).config.hidden_size == CONFIG.hidden_size
    for row in rows:
        inputs = tokenizer([row["context"]] * 3, row["choices"], padding=True, return_tensors="pt")
        with torch.inference_mode():
            logits = theirs(**{k: v[None] for k, v in inputs.items()}).logits[0]
        found = choose(row["context"], row["choices"])[0]
        expected = {"scores": torch.softmax(logits.double(), 0).numpy()}
        report.relative("a fine-tuned chooser", {"scores": np.array(found.scores)}, expected, 1e-5)

"""What `finetune` leaves is a model for transformers: the same labels, the same logits."""

import numpy as np
import pytest
import torch
from tiny import make_encoder, make_split
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from minidistil.model import load_model
from minidistil.packing import Batch
from minidistil.recipes import load_recipe
from minidistil.runs.finetuning import FineTuning, FineTuningRecipe


@pytest.mark.parametrize(("task", "kind"), [("sst2", "single_label"), ("multi-label", "multi_label")])
def test_a_fine_tuned_classifier(task, kind, tmp_path):
    encoder, split = make_encoder(tmp_path), make_split(train=40)
    names = ("sentence", "label") if task == "sst2" else ("text", "label")
    rows = [f"{text}\t{label}" for text, label in zip(split.train_texts, split.train_labels, strict=True)]
    (tmp_path / "train.tsv").write_text("\n".join(["\t".join(names), *rows]) + "\n")
    recipe = load_recipe(FineTuningRecipe, changes=["train.max_steps=3", "data.max_length=24"])
    FineTuning(str(encoder), task, tmp_path / "train.tsv", recipe, tmp_path / "out", quiet=True).run()

    ours = load_model(tmp_path / "out", strict=True)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert theirs.config.id2label == ours.config.id2label
    assert theirs.config.problem_type == f"{kind}_classification"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    inputs = tokenizer(split.test_texts[:8], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = theirs(**inputs).logits.numpy()
    batch = Batch.from_padded(inputs["input_ids"].numpy(), inputs["attention_mask"].numpy())
    np.testing.assert_allclose(ours.forward(batch)[0]["logits"], expected, atol=1e-5)

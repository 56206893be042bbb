"""Families composed of BERT's modules: every head and gradient, and files in both directions, live."""

import numpy as np
import pytest
import transformers
from parity_tools import batch, our_outputs, targets, tensors, their_gradients, their_outputs, twins

from minidistil.model import model_class, model_classes

TOLERANCE = 1e-9  # relative, float64
SIZES = {
    "vocab_size": 40, "max_position_embeddings": 16, "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 36, "id2label": {0: "a", 1: "b"},
}  # fmt: skip
ERNIE = [name for name in model_classes() if name.startswith("Ernie")]


def inputs_of(name, task_types):
    inputs = batch(name, SIZES["vocab_size"], (3, 12))
    if task_types and not name.endswith("MultipleChoice"):  # where transformers does not flatten them
        rng = np.random.default_rng(5)
        inputs["task_type_ids"] = rng.integers(0, 3, inputs["input_ids"].shape) * inputs["attention_mask"]
    return inputs


@pytest.mark.parametrize("use_task_id", [False, True])
@pytest.mark.parametrize("name", ERNIE)
def test_ernie(name, use_task_id, report):
    ours, theirs = twins(name, dtype="float64", scale=0.3, use_task_id=use_task_id, **SIZES)
    for task_types in (False, True) if use_task_id else (False,):
        inputs = inputs_of(name, task_types)
        expected = their_outputs(theirs, inputs, output_hidden_states=True)
        found = our_outputs(ours, inputs, expected, output_hidden_states=True)
        report.relative(f"{name}, float64", found, expected, TOLERANCE)
    if name == "ErnieModel":
        return
    if name.endswith("QuestionAnswering"):  # their softmax is over padding too
        inputs["attention_mask"][:] = 1
        inputs["input_ids"] = np.maximum(inputs["input_ids"], 1)  # and PyTorch gives the pad row no gradient
    wanted = targets(name, inputs, 2, SIZES["vocab_size"])
    out = theirs(**tensors(inputs | wanted))
    out.loss.backward()
    loss, grads = ours.loss_and_grads(**inputs, **wanted)
    report.relative(f"{name}, loss, float64", {"loss": loss}, {"loss": out.loss.item()}, TOLERANCE)
    report.gradients(f"{name}, every gradient, float64", grads, their_gradients(theirs), TOLERANCE)


@pytest.mark.parametrize("name", ERNIE)
def test_ernie_files(name, tmp_path, report):
    """A directory that one of both wrote is read by the other, whole."""
    ours, theirs = twins(name, dtype="float64", scale=0.3, use_task_id=True, **SIZES)
    inputs = inputs_of(name, True)
    expected = their_outputs(theirs, inputs)
    ours.save_pretrained(tmp_path / "ours")
    read, loading = getattr(transformers, name).from_pretrained(
        tmp_path / "ours", output_loading_info=True, dtype="float64"
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    report.relative(f"{name}, read by transformers", their_outputs(read.eval(), inputs), expected, TOLERANCE)
    theirs.save_pretrained(tmp_path / "theirs")
    found = model_class(name).from_pretrained(tmp_path / "theirs", dtype="float64", strict=True)
    assert found.config.use_task_id
    report.relative(
        f"{name}, read from transformers", our_outputs(found, inputs, expected), expected, TOLERANCE
    )

"""Families beside BERT and DistilBERT: every class and gradient, and files in both directions, live."""

import numpy as np
import pytest
import torch
import transformers
from parity_tools import (
    CLASSES,
    batch,
    our_outputs,
    targets,
    tensors,
    their_gradients,
    their_outputs,
    twins,
)

from minidistil.model import model_class, model_classes

TOLERANCE = 1e-9  # relative, float64
SIZES = {
    "vocab_size": 40, "max_position_embeddings": 17, "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 3, "intermediate_size": 36, "id2label": {0: "a", 1: "b"},
}  # fmt: skip
# Configs of each family that differ in what is computed; those of families not named here are the default.
CONFIGS = {
    "electra": [
        {"embedding_size": 10, "type_vocab_size": 4, "hidden_act": "gelu_new", "summary_activation": "tanh"},
        {"embedding_size": 24, "type_vocab_size": 1, "hidden_act": "relu", "pad_token_id": 4},
    ],
    "albert": [
        {"embedding_size": 24, "type_vocab_size": 1},
        {"embedding_size": 10, "num_hidden_layers": 5, "num_hidden_groups": 2, "hidden_act": "relu"},
        {
            "embedding_size": 7,
            "num_hidden_groups": 2,
            "inner_group_num": 2,
            "hidden_act": "gelu",
            "pad_token_id": 4,
            "type_vocab_size": 4,
        },
    ],
    "ernie": [{}, {"use_task_id": True}],
    # Distances beyond 128 are alike: the longest input is longer.
    "mpnet": [{}, {"max_position_embeddings": 212, "hidden_act": "relu", "layer_norm_eps": 1e-5}],
    "roberta": [{}, {"pad_token_id": 4, "type_vocab_size": 1, "hidden_act": "relu", "layer_norm_eps": 1e-5}],
}
CASES = [
    (name, config)
    for name, kind in model_classes().items()
    if name not in CLASSES
    for config in CONFIGS.get(kind.config_class.model_type, [{}])
]
by_case = pytest.mark.parametrize(("name", "config"), CASES, ids=[f"{n}-{c}" for n, c in CASES])


def made(name, config):
    return twins(name, dtype="float64", scale=0.3, **{**SIZES, **config})


def inputs_of(name, config, width=12):
    """Rectangular input, filled up with the family's padding id, which is no real token: PyTorch's tables
    never learn its row."""
    inputs = batch(name, SIZES["vocab_size"], (3, width))
    pad, types = config.pad_token_id, config.type_vocab_size
    ids = np.where(inputs["input_ids"] == pad, pad + 1, inputs["input_ids"])
    inputs["input_ids"] = np.where(inputs["attention_mask"] == 1, ids, pad)
    if types:
        inputs["token_type_ids"] %= types
    else:
        del inputs["token_type_ids"]
    choices = name.endswith("MultipleChoice")  # where transformers does not flatten them
    if getattr(config, "use_task_id", False) and not choices:
        rng = np.random.default_rng(5)
        inputs["task_type_ids"] = rng.integers(0, 3, inputs["input_ids"].shape) * inputs["attention_mask"]
    return inputs


@by_case
def test_outputs(name, config, report):
    ours, theirs = made(name, config)
    rows = ours.config.max_sequence_length
    for width in (1, 2, 12, rows):
        inputs = inputs_of(name, ours.config, width)
        expected = their_outputs(theirs, inputs, output_hidden_states=True)
        found = our_outputs(ours, inputs, expected, output_hidden_states=True)
        report.relative(f"{name}, float64", found, expected, TOLERANCE)
    if name.endswith("MultipleChoice"):
        return
    inputs["position_ids"] = np.broadcast_to(np.arange(rows)[::-1], inputs["input_ids"].shape)
    expected = their_outputs(theirs, inputs)
    report.relative(f"{name}, chosen positions", our_outputs(ours, inputs, expected), expected, TOLERANCE)


@by_case
def test_gradients(name, config, report):
    """Of the class's own loss; of a bare encoder, of all outputs in a random direction."""
    ours, theirs = made(name, config)
    inputs = inputs_of(name, ours.config)
    if name.endswith("Model"):
        grads = in_a_direction(ours, theirs, inputs)
    else:
        if name.endswith("QuestionAnswering"):  # their softmax is over padding too
            inputs["attention_mask"][:] = 1
            inputs["input_ids"] = np.where(
                inputs["input_ids"] == ours.config.pad_token_id, 9, inputs["input_ids"]
            )
        wanted = targets(name, inputs, 2, SIZES["vocab_size"])
        expected = their_loss(theirs, name, inputs, wanted)
        expected.backward()
        loss, grads = ours.loss_and_grads(**inputs, **wanted)
        report.relative(f"{name}, loss, float64", {"loss": loss}, {"loss": expected.item()}, TOLERANCE)
    expected = their_gradients(theirs, ours.copies(ours.config))
    report.gradients(f"{name}, every gradient, float64", grads, expected, TOLERANCE)


def their_loss(theirs, name, inputs, wanted):
    if name != "ElectraForPreTraining":
        return theirs(**tensors(inputs | wanted)).loss
    given, real = tensors(inputs), torch.from_numpy(inputs["attention_mask"] == 1)
    labels = torch.from_numpy(wanted["labels"])[real]
    # Theirs has the labels in float32, and therefore the loss.
    return torch.nn.functional.binary_cross_entropy_with_logits(theirs(**given).logits[real], labels.double())


def in_a_direction(ours, theirs, inputs):
    """Our gradients, and theirs where PyTorch keeps them."""
    batch = ours.pack(**inputs)
    outputs, cache = ours.forward(batch)
    rng, grads = np.random.default_rng(3), ours.params.like()
    along = {key: rng.standard_normal(value.shape) for key, value in outputs.items()}
    ours.backward(along, cache, grads)
    out, total = theirs(**tensors(inputs)), 0
    for key, direction in along.items():
        their = out[key]
        if len(direction) == batch.num_tokens:
            their = their[batch.sequence_ids, batch.columns]
        total = total + (their * torch.from_numpy(direction)).sum()
    total.backward()
    return grads


@by_case
def test_files(name, config, tmp_path, report):
    """A directory that one of both wrote is read by the other, whole."""
    ours, theirs = made(name, config)
    inputs = inputs_of(name, ours.config)
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
    assert {key: getattr(found.config, key) for key in config} == config
    report.relative(
        f"{name}, read from transformers", our_outputs(found, inputs, expected), expected, TOLERANCE
    )

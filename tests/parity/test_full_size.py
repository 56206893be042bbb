"""BERT-base, DistilBERT and ALBERT-base at full size with random weights: every head, and gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from parity_tools import CLASSES, batch, our_outputs, targets, tensors, their_gradients, their_outputs, twins

from minidistil.distill.objective import Distillation
from minidistil.model.packed_model import get_backend

TOLERANCE = 1e-5  # relative, float32
VOCABULARY = 30522
BACKENDS = ("numba", "numpy")
SIZE = {"hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}


def base(name):
    """Sizes of the family's base model, where its config's defaults are others."""
    if name.startswith("Albert"):
        sizes = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 3072}
        return {**sizes, "vocab_size": VOCABULARY}
    return {"num_hidden_layers": 6 if name.startswith("Distil") else 12}


@pytest.mark.parametrize("name", [*CLASSES, "AlbertForMaskedLM"])
def test_every_head(name, report):
    ours, theirs = twins(name, **base(name))
    inputs = batch(name, VOCABULARY, (2, 24))
    expected = their_outputs(theirs, inputs, output_hidden_states=True)
    for backend in BACKENDS:
        ours.backend = get_backend(backend)
        found = our_outputs(ours, inputs, expected, output_hidden_states=True)
        report.relative(f"{name}, full size, {backend}", found, expected, TOLERANCE)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name", ["BertForSequenceClassification", "DistilBertForMaskedLM", "AlbertForMaskedLM"]
)
def test_every_gradient(name, dtype, report):
    """In float32 as one vector: deep random networks make the gradients of queries and keys tiny
    differences of large numbers, so that taken one by one even PyTorch's have few digits."""
    ours, theirs = twins(name, dtype=dtype, **base(name))
    inputs = batch(name, VOCABULARY, (2, 24))
    wanted = targets(name, inputs, 2, VOCABULARY)
    out = theirs(**tensors(inputs | wanted))
    out.loss.backward()
    loss, grads = ours.loss_and_grads(**inputs, **wanted)
    tolerance = {"float64": 1e-9, "float32": 1e-5}[dtype]
    report.relative(f"{name}, loss, {dtype}", {"loss": loss}, {"loss": out.loss.item()}, tolerance)
    if dtype == "float64":
        report.gradients(f"{name}, every gradient, float64", grads, their_gradients(theirs), tolerance)
    else:
        report.whole_gradient(f"{name}, gradient, float32", grads, their_gradients(theirs), tolerance)


@pytest.mark.parametrize("name", ["BertModel", "DistilBertModel"])
def test_padding_on_the_left_and_holes(name, report):
    """Positions are columns in both, whatever the mask hides."""
    ours, theirs = twins(name, num_hidden_layers=2, scale=0.1, **SIZE)
    inputs = batch(name, VOCABULARY, (4, 20))
    inputs["attention_mask"] = inputs["attention_mask"][:, ::-1].copy()
    inputs["attention_mask"][0, 5:9] = 0
    inputs["input_ids"] = np.maximum(inputs["input_ids"], 1)
    expected = their_outputs(theirs, inputs, output_hidden_states=True)
    expected.pop("pooler_output", None)  # theirs is of column 0
    found = our_outputs(ours, inputs, expected, output_hidden_states=True)
    report.relative("padding on the left and holes", found, expected, TOLERANCE)


def test_span_loss_of_unpadded_input(report):
    """transformers takes the softmax over padding too; without padding the two losses are one."""
    ours, theirs = twins("DistilBertForQuestionAnswering", dtype="float64", num_hidden_layers=2)
    inputs = batch("Distil", VOCABULARY, (3, 20))
    inputs = {
        "input_ids": np.maximum(inputs["input_ids"], 1),  # PyTorch keeps the gradient from the row of [PAD]
        "attention_mask": np.ones_like(inputs["attention_mask"]),
    }
    wanted = {"start_positions": np.array([0, 3, 19]), "end_positions": np.array([5, 3, 19])}
    out = theirs(**tensors(inputs | wanted))
    out.loss.backward()
    loss, grads = ours.loss_and_grads(**inputs, **wanted)
    report.relative("span loss without padding, float64", {"loss": loss}, {"loss": out.loss.item()}, 1e-9)
    expected = their_gradients(theirs)
    report.gradients("span loss without padding, gradients", grads, expected, 1e-9)


WEIGHTS = {"soft": 5.0, "hard": 2.0, "cosine": 1.0}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_distillation_step(dtype, report):
    """DistilBERT's objective, 6 layers into 3, at MiniLM's width and vocabulary, by the trainer's code."""
    tolerance = {"float64": 1e-9, "float32": 1e-5}[dtype]
    teacher, their_teacher = twins("BertForMaskedLM", dtype=dtype, num_hidden_layers=6, **SIZE)
    student, their_student = twins(
        "DistilBertForMaskedLM", dtype=dtype, num_hidden_layers=3, scale=0.05, **SIZE
    )
    inputs = batch("Distil", VOCABULARY, (6, 32))
    labels = targets("MaskedLM", inputs, 0, VOCABULARY)["labels"]
    T = 2.0

    real = torch.from_numpy(inputs["attention_mask"]) == 1
    with torch.no_grad():
        t = their_teacher(**tensors(inputs), output_hidden_states=True)
    s = their_student(**tensors(inputs), output_hidden_states=True)
    their_terms = {
        "soft": F.kl_div(
            F.log_softmax(s.logits[real] / T, -1), F.softmax(t.logits[real] / T, -1), reduction="batchmean"
        )
        * T**2,
        "hard": F.cross_entropy(s.logits.flatten(0, 1), torch.from_numpy(labels).flatten()),
        "cosine": F.cosine_embedding_loss(
            s.hidden_states[-1][real], t.hidden_states[-1][real], torch.ones(int(real.sum()))
        ),
    }
    sum(WEIGHTS[k] * term for k, term in their_terms.items()).backward()

    objective = Distillation(student, WEIGHTS, teacher=teacher, temperature=T)
    packed = student.pack(**inputs, labels=labels)
    counts = objective.counts(packed)
    grads = student.params.like()
    sums = objective(student, packed, counts, None, grads)
    our_terms = {k: sums[k] / counts[k] for k in WEIGHTS}
    expected = {k: term.item() for k, term in their_terms.items()}
    report.relative(f"distillation step, three losses, {dtype}", our_terms, expected, tolerance)
    expected = their_gradients(their_student)
    report.gradients(f"distillation step, every gradient, {dtype}", grads, expected, tolerance)

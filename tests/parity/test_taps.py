"""Numbers inside the layers, live, beside hooks on transformers' modules: both ways, in float64."""

import numpy as np
import pytest
import torch
from parity_tools import batch, targets, tensors, twins

from minidistil.model.taps import unpack_taps
from minidistil.verify.operations import inputs_of

TOLERANCE = 1e-9  # relative, float64
SIZES = {
    "vocab_size": 40, "max_position_embeddings": 16, "hidden_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 36, "id2label": {0: "a", 1: "b"},
}  # fmt: skip
CLASSES = [
    "BertForSequenceClassification", "BertForMaskedLM", "BertForPreTraining", "BertForTokenClassification",
    "DistilBertForSequenceClassification", "DistilBertForMaskedLM", "DistilBertForQuestionAnswering",
]  # fmt: skip


def hooked(theirs, modules):
    """Inputs and outputs of modules in the run that follows, as tensors that keep their gradients."""
    inputs, outputs = {}, {}

    def before(name):
        def fork(module, given):
            inputs[name] = given[0].view_as(given[0])  # of this reader alone, and so is its gradient
            inputs[name].retain_grad()
            return (inputs[name], *given[1:])

        return fork

    def after(name):
        def keep(module, given, output):
            outputs[name] = output
            output.retain_grad()

        return keep

    found = dict(theirs.named_modules())
    for name in modules:
        found[name].register_forward_pre_hook(before(name))
        found[name].register_forward_hook(after(name))
    return inputs, outputs


def heads_apart(x, heads):
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def theirs_by_our_names(ours, inputs, outputs):
    """{tap: tensor with its gradient} of every tap that a module reads or writes."""
    found = {}
    for tap, module in ours.taps().items():
        if module in outputs:
            found[tap] = outputs[module]
            read = inputs_of(tap, {})
            if len(read) == 1:
                found[read[0]] = inputs[module]
            elif tap == "classifier.output":
                found["classifier.input"] = inputs[module]
    return found


@pytest.mark.parametrize("name", CLASSES)
def test_every_number_and_gradient_inside(name, report):
    ours, theirs = twins(name, dtype="float64", scale=0.3, **SIZES)
    theirs.set_attn_implementation("eager")
    given = batch(name, SIZES["vocab_size"], (3, 12))
    if name.endswith("QuestionAnswering"):  # their softmax is over padding too
        given["attention_mask"][:] = 1
        given["input_ids"] = np.maximum(given["input_ids"], 1)
    wanted = targets(name, given, 2, SIZES["vocab_size"])
    modules = [module for module in ours.taps().values() if module]
    inputs, outputs = hooked(theirs, modules)
    out = theirs(**tensors(given | wanted), output_attentions=True)
    for attention in out.attentions:
        attention.retain_grad()
    out.loss.backward()
    expected = theirs_by_our_names(ours, inputs, outputs)
    values = {tap: x.detach().numpy() for tap, x in expected.items()}
    grads = {tap: x.grad.numpy() for tap, x in expected.items()}

    packed = ours.pack(**given, **wanted)
    found, cache = ours.forward(packed, taps=True)
    scales = {term: 1 / max(n, 1) for term, n in ours.loss_counts(packed).items()}
    terms = ours.losses(found, packed, scales)
    dtaps = ours.backward(terms.douts, cache, ours.params.like(), taps=True)
    by_sequence = ours.sequence_taps()
    mine = unpack_taps(found["taps"], packed, by_sequence)
    dmine = unpack_taps(dtaps, packed, by_sequence)

    heads = SIZES["num_attention_heads"]
    for i in range(SIZES["num_hidden_layers"]):
        at = f"layer.{i}.attention."
        # Of the three modules that read it each gives its part of the gradient.
        trio = [module for tap, module in ours.taps().items() if tap in (at + "q", at + "k", at + "v")]
        grads[at + "input"] = sum(inputs[module].grad.numpy() for module in trio)
        q, k = (heads_apart(torch.from_numpy(values[at + part]), heads) for part in "qk")
        scores = q @ k.transpose(2, 3) / (q.shape[-1]) ** 0.5
        real = torch.from_numpy(given["attention_mask"])[:, None, None] == 1
        p = torch.softmax(scores.masked_fill(~real, float("-inf")), -1)
        assert torch.allclose(p, out.attentions[i], rtol=1e-12, atol=1e-14)
        dp = out.attentions[i].grad
        values |= {at + "scores": scores.numpy(), at + "probabilities": p.detach().numpy()}
        grads |= {
            at + "probabilities": dp.numpy(),
            at + "scores": (p * (dp - (p * dp).sum(-1, keepdim=True))).numpy(),
        }
        wide = f"layer.{i}.feed_forward.up"
        assert wide in values
    missing = set(mine) - set(values)
    assert missing <= {"pooler.activated", "decoder.output"}, "every other has a module, or is recomputed"

    mask = given["attention_mask"] == 1

    def real_part(tap, x):
        if tap in by_sequence:
            return x
        if x.ndim == 4:
            return x * (mask[:, None, :, None] & mask[:, None, None, :])
        return x[mask]

    shared = [tap for tap in mine if tap in values]
    for tap in shared:  # they pool all rows of [CLS] as [B, H] too
        assert mine[tap].shape == values[tap].shape, tap
    report.relative(
        f"{name}, numbers inside, float64",
        {tap: real_part(tap, mine[tap]) for tap in shared},
        {tap: real_part(tap, values[tap]) for tap in shared},
        TOLERANCE,
    )
    report.gradients(
        f"{name}, gradients inside, float64",
        {tap: real_part(tap, dmine[f"grad.{tap}"]) for tap in shared},
        {tap: real_part(tap, grads[tap]) for tap in shared},
        TOLERANCE,
    )

"""References beside transformers: it loads the model in each, and computes every number in it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # as PyTorch's documentation calls it
import transformers

from minidistil.model.families import FAMILIES
from minidistil.verify.capture import COTANGENT, questions
from minidistil.verify.compare import compare, tokens_of
from minidistil.verify.conformance import open_reference
from minidistil.verify.operations import is_parameter
from minidistil.verify.reference import heads_of, write_reference

TOLERANCE = 1e-9  # relative, float64
EVERY = [(family, head) for family in FAMILIES for head in heads_of(family)]


def computed_by_transformers(reference, dtype):
    """{name: array} of outputs, states, maps, the outputs of all modules, the loss, and their gradients."""
    asked = questions(reference.saved)
    kind = getattr(transformers, reference.index["architecture"])
    model, loading = kind.from_pretrained(
        reference.path, dtype=dtype, attn_implementation="eager", output_loading_info=True
    )
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    assert model.dtype == getattr(torch, dtype)
    model.eval()
    taps, inside, modules = {}, {}, dict(model.named_modules())
    for tensor in reference.index["tensors"]:
        if tensor.get("module") in modules:  # one that several layers share writes a tap at each use
            taps.setdefault(tensor["module"], []).append(tensor["name"])

    def keep(written):
        def hook(module, given, out):
            inside[next(written)] = out
            out.retain_grad()

        return hook

    for name, written in taps.items():
        modules[name].register_forward_hook(keep(iter(written)))
    assert sum(map(len, taps.values())) > 10
    given = {name: torch.from_numpy(np.array(value)) for name, value in asked.items()}
    spans = "start_positions" in given
    skipped = {"start_positions", "end_positions"} if spans else {"sentence_order_label"}
    call = {k: v for k, v in given.items() if not k.startswith(COTANGENT) and k not in skipped}
    if "labels" in call and call["labels"].is_floating_point():
        call["labels"] = call["labels"].to(getattr(torch, dtype))
    out = model(**call, output_hidden_states=True, output_attentions=True)
    found = {k: v for k, v in out.items() if isinstance(v, torch.Tensor)}
    found |= {f"hidden_states.{i}": state for i, state in enumerate(out.hidden_states)}
    found |= {f"layer.{i}.attention.probabilities": p for i, p in enumerate(out.attentions)}
    if spans:  # their softmax is over padding too
        found["loss"] = sum(
            F.cross_entropy(
                out[f"{name}_logits"].masked_fill(given["attention_mask"] == 0, -torch.inf),
                given[f"{name}_positions"],
            )
            for name in ("start", "end")
        ) / 2  # fmt: skip
    if "sop_logits" in found:  # they take three classes for two
        words, order = found["prediction_logits"].flatten(0, 1), given["sentence_order_label"]
        found["loss"] = F.cross_entropy(words, given["labels"].flatten()) + F.cross_entropy(
            found["sop_logits"], order
        )
    if "logits" in found and found["logits"].shape == given["attention_mask"].shape and not spans:
        real = given["attention_mask"] == 1  # one score a token: their loss is float32, as its labels are
        scores = found["logits"][real]
        found["loss"] = F.binary_cross_entropy_with_logits(scores, given["labels"][real].to(scores.dtype))
    if "loss" in found:
        found["loss"].backward()
    else:
        sum((out[k.removeprefix(COTANGENT)] * u).sum() for k, u in given.items() if COTANGENT in k).backward()
    grads = {f"grad.{tap}": out.grad for tap, out in inside.items()}
    grads |= {f"grad.{k}": p.grad for k, p in model.named_parameters(remove_duplicate=False)}
    found = {k: v.detach().numpy() for k, v in {**found, **inside, **grads}.items()}
    return {k: v for k, v in found.items() if k.removeprefix("grad.") not in reference.index["tied"]}


def test_they_are_loaded_in_float64(tmp_path):
    write_reference(tmp_path, "bert", "bare")
    assert transformers.AutoModel.from_pretrained(tmp_path).dtype == torch.float64


@pytest.mark.parametrize(("family", "head"), EVERY, ids=lambda word: word)
def test_every_number(family, head, tmp_path, report):
    """To 1e-9 as everywhere, and within the tolerances of the index, which are much smaller."""
    write_reference(tmp_path / "r", family, head)
    reference = open_reference(tmp_path / "r")
    theirs = reference.beside(computed_by_transformers(reference, "float64"))
    parameters = {k for k in reference.names if k.startswith("grad.") and is_parameter(k)}
    assert theirs.keys() >= parameters
    shared = [name for name in reference.names if name in theirs]
    assert len(shared) > 0.6 * len(reference.names)
    mask = reference.saved["attention_mask"]
    mask = mask.reshape(-1, mask.shape[-1])

    def real(name, value):
        kept = tokens_of(name, value.shape, mask)
        return value if kept is None else value * kept

    ours, wanted = (
        {name: real(name, np.asarray(side[name])) for name in shared} for side in (reference.saved, theirs)
    )
    forward = [name for name in shared if not name.startswith("grad.")]
    report.relative(
        "references, forward, float64",
        {name: ours[name] for name in forward}, {name: wanted[name] for name in forward}, TOLERANCE,
    )  # fmt: skip
    for title, kind in (("inside", set(shared) - set(forward) - parameters), ("parameters", parameters)):
        report.gradients(
            f"references, gradients, {title}, float64",
            {name: ours[name] for name in kind}, {name: wanted[name] for name in kind}, TOLERANCE,
        )  # fmt: skip
    single = reference.beside(computed_by_transformers(reference, "float32"))
    for dtype, numbers in (("float64", theirs), ("float32", single)):
        result = compare(
            reference.saved,
            numbers,
            tolerance=0,
            tolerances=reference.tolerances({}, dtype),
        )
        assert result.passed, ("an implementation without a mistake is within the tolerances", result.first)
        assert not result.other_loss

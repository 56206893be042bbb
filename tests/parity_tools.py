"""Twins: one of our models and transformers' model of the same class, with the same weights."""

import numpy as np
import torch
import transformers

from minidistil.model import MODELS

CLASSES = [name for name in MODELS if name.startswith(("Bert", "Distil"))]  # the others: test_families


def their_config(config):
    return getattr(transformers, type(config).__name__).from_dict(config.to_dict())


def random_model(name, *, dtype="float32", backend="numba", scale=0.04, **changes):
    """A model of ours whose gains and biases matter too; faster than initialising it properly."""
    config = MODELS[name].config_class(**changes)
    model = MODELS[name].__new__(MODELS[name])
    model._prepare(config, dtype, backend)
    rng = np.random.default_rng(0)
    for spec in model.params.specs:
        gain = spec.role == "norm" and spec.name.endswith("weight")
        std = scale if spec.role in ("weight", "embedding") else 0.1
        view = model.params[spec.name]
        view[...] = gain + std * rng.standard_normal(view.shape, np.float32)
    return model


def twins(name, **how):
    """(ours, theirs), both in evaluation mode; takes what `random_model` takes."""
    ours = random_model(name, **how)
    with torch.device("meta"):  # no weights that would be overwritten at once
        theirs = getattr(transformers, name)(their_config(ours.config)).eval()
    state = {k: torch.from_numpy(np.array(v)) for k, v in ours.params.items()}
    copies = ours.copies(ours.config)
    state |= {alias: state[name].clone() for alias, name in copies.items()}
    result = theirs.load_state_dict(state, strict=False, assign=True)
    theirs.tie_weights()
    assert not result.unexpected_keys
    assert not result.missing_keys
    for module in theirs.modules():
        for key, buffer in module.named_buffers(recurse=False):
            first = torch.zeros(buffer.shape, dtype=buffer.dtype)
            setattr(module, key, torch.arange(buffer.shape[1])[None] if key == "position_ids" else first)
    for parameter in theirs.parameters():
        assert parameter.device.type == "cpu"
        parameter.requires_grad_()
    return ours, theirs


def batch(name, vocab_size, shape, seed=1):
    """Random ids [B, L] of uneven lengths, padded on the right, with token types for BERT.

    For multiple choice [1, B, L]: they are the choices of one example.
    """
    rng = np.random.default_rng(seed)
    least = max(shape[1] // 3, 1)
    lengths = rng.integers(least, max(shape[1], least + 1), shape[0])
    lengths[0] = shape[1]
    mask = (np.arange(shape[1]) < lengths[:, None]).astype(np.int64)
    inputs = {"input_ids": rng.integers(1, vocab_size, shape) * mask, "attention_mask": mask}
    if not name.startswith("Distil"):
        inputs["token_type_ids"] = rng.integers(0, 2, shape) * mask
    return {k: v[None] for k, v in inputs.items()} if name.endswith("MultipleChoice") else inputs


def tensors(inputs):
    return {k: torch.from_numpy(np.array(v)) for k, v in inputs.items()}


def real(outputs, mask):
    """NumPy arrays of all outputs; of those with a row for each token, the real tokens only."""
    mask = mask.reshape(-1, mask.shape[-1])
    found = {}
    for key, value in outputs.items():
        values = value if isinstance(value, tuple) else (value,)
        for i, v in enumerate(values):
            array = v.detach().numpy() if isinstance(v, torch.Tensor) else np.asarray(v)
            rows = array[mask == 1] if array.shape[:2] == mask.shape else array
            found[f"{key}.{i}" if isinstance(value, tuple) else key] = rows
    return found


def their_outputs(theirs, inputs, **options):
    with torch.no_grad():
        return real(theirs(**tensors(inputs), **options), inputs["attention_mask"])


def our_outputs(ours, inputs, like=None, **options):
    """The outputs that are also in `like`: transformers' heads do not return the encoder's output."""
    found = real(ours(**inputs, **options), inputs["attention_mask"])
    return found if like is None else {k: v for k, v in found.items() if k in like}


def targets(name, inputs, num_labels, vocab_size, seed=2):
    """Targets of a class's own loss, on real tokens only."""
    rng = np.random.default_rng(seed)
    mask = inputs["attention_mask"]
    B = len(mask)

    def by_token(classes):
        keep = (rng.random(mask.shape) < 0.5) & (mask == 1)
        return np.where(keep, rng.integers(0, classes, mask.shape), -100)

    if name.endswith("MaskedLM"):
        return {"labels": by_token(vocab_size)}
    if name.endswith("MultipleChoice"):
        return {"labels": rng.integers(0, mask.shape[1], B)}
    if name == "ElectraForPreTraining":  # theirs is a mean over all real tokens
        return {"labels": rng.integers(0, 2, mask.shape)}
    if name.endswith("PreTraining"):
        order = "sentence_order_label" if name.startswith("Albert") else "next_sentence_label"
        return {"labels": by_token(vocab_size), order: rng.integers(0, 2, B)}
    if name.endswith("TokenClassification"):
        return {"labels": by_token(num_labels)}
    if name.endswith("QuestionAnswering"):
        lengths = mask.sum(1)
        return {"start_positions": rng.integers(0, lengths), "end_positions": rng.integers(0, lengths)}
    return {"labels": rng.integers(0, 2 if name.endswith("Prediction") else num_labels, B)}


def their_gradients(theirs, copies=None):
    """By name; of the names of tied parameters those that are none of `copies`, else the first."""
    named = theirs.named_parameters(remove_duplicate=copies is None)
    return {k: p.grad.numpy() for k, p in named if k not in (copies or ())}

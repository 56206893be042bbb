"""The encoder of an MPNet beside transformers': relative bias, positions from 2, no token types."""

import numpy as np
import pytest
import torch
import transformers
from biased_toy import BiasedModel, biased

TOLERANCE = 1e-9  # relative, float64
PARTS = {
    "attention.attn.q": "attention.self.query", "attention.attn.k": "attention.self.key",
    "attention.attn.v": "attention.self.value", "attention.attn.o": "attention.output.dense",
    "attention.LayerNorm": "attention.output.LayerNorm",
}  # fmt: skip


def our_name(name):
    for theirs, ours in PARTS.items():
        name = name.replace(f".{theirs}.", f".{ours}.")
    return name


def twins(backend, **changes):
    ours = biased(BiasedModel, backend, **changes)
    c = ours.config
    config = transformers.MPNetConfig(
        vocab_size=c.vocab_size, hidden_size=c.hidden_size, num_hidden_layers=c.num_hidden_layers,
        num_attention_heads=c.num_attention_heads, intermediate_size=c.intermediate_size,
        hidden_act=c.hidden_act, max_position_embeddings=c.max_position_embeddings,
        layer_norm_eps=c.layer_norm_eps, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.MPNetModel(config).double().eval()
    state = {name: torch.from_numpy(ours.params[our_name(name)].copy()) for name in theirs.state_dict()}
    theirs.load_state_dict(state)
    assert {our_name(name) for name in state} == set(ours.params)
    return ours, theirs


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("changes", [{}, {"hidden_size": 15, "num_attention_heads": 5, "hidden_act": "relu"}])
@pytest.mark.parametrize("lengths", [(210, 1, 2, 131), (1,), (2,), (17, 33)])
def test_outputs_maps_and_gradients(lengths, changes, backend, report):
    ours, theirs = twins(backend, **changes)
    rng, width = np.random.default_rng(0), max(lengths)
    mask = (np.arange(width) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, rng.integers(5, 40, mask.shape), 1)
    expected = theirs(torch.from_numpy(ids), torch.from_numpy(mask), output_hidden_states=True,
                      output_attentions=True)  # fmt: skip
    batch = ours.pack(ids, mask)
    outputs, cache = ours.forward(batch, hidden_states=True, attentions=True)
    states = [state.detach().numpy()[mask == 1] for state in expected.hidden_states]
    found = {f"state {i}": state for i, state in enumerate(outputs["hidden_states"])}
    found |= {"pooled": outputs["pooler_output"]}
    wanted = {f"state {i}": state for i, state in enumerate(states)}
    wanted |= {"pooled": expected.pooler_output.detach().numpy()}
    for i, maps in enumerate(outputs["attentions"]):
        for b, length in enumerate(lengths):
            found[f"map {i} {b}"] = maps[b]
            wanted[f"map {i} {b}"] = expected.attentions[i].detach().numpy()[b, :, :length, :length]
    report.relative(f"relative bias, float64, {backend}", found, wanted, TOLERANCE)
    dstate, dpooled = rng.standard_normal(states[-1].shape), rng.standard_normal(wanted["pooled"].shape)
    real = torch.from_numpy(mask == 1)
    direction = (expected.last_hidden_state[real] * torch.from_numpy(dstate)).sum()
    (direction + (expected.pooler_output * torch.from_numpy(dpooled)).sum()).backward()
    grads = ours.params.like()
    ours.backward({"last_hidden_state": dstate, "pooler_output": dpooled}, cache, grads)
    theirs_by_name = {our_name(name): p.grad.numpy() for name, p in theirs.named_parameters()}
    report.gradients(f"relative bias, gradients, {backend}", dict(grads), theirs_by_name, TOLERANCE)
    table = "encoder.relative_attention_bias.weight"
    if width > 1:
        assert np.linalg.norm(theirs_by_name[table]) > 1e-3
    if width > 128:
        assert set(np.flatnonzero(~grads[table].any(1))) == {16}

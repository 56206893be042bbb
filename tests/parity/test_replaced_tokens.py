"""The joint step of an ELECTRA's two models: PyTorch's loss and gradients with the same drawn words."""

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # as PyTorch's documentation calls it
from parity_tools import tensors, twins

from minidistil.train.replaced_tokens import GENERATOR, ReplacedTokens, draw_words, replaced

TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
SIZES = {
    "vocab_size": 40, "max_position_embeddings": 12, "embedding_size": 10, "num_hidden_layers": 2,
    "type_vocab_size": 2,
}  # fmt: skip


def test_a_step(report):
    how = {"dtype": "float64", "scale": 0.3, **SIZES}
    ours, theirs = twins(
        "ElectraForPreTraining", hidden_size=24, num_attention_heads=3, intermediate_size=36, **how
    )
    our_generator, generator = twins(
        "ElectraForMaskedLM", hidden_size=8, num_attention_heads=2, intermediate_size=32, **how
    )
    objective = ReplacedTokens(ours, our_generator)
    for name in TABLES:
        setattr(generator.electra.embeddings, name, getattr(theirs.electra.embeddings, name))
    generator.generator_lm_head.weight = theirs.electra.embeddings.word_embeddings.weight

    rng, shape = np.random.default_rng(4), (3, 12)
    mask = (np.arange(12) < np.array([12, 5, 9])[:, None]).astype(np.int64)
    own = rng.integers(1, 40, shape) * mask
    chosen = (rng.random(shape) < 0.3) & (mask == 1)
    inputs = {"input_ids": np.where(chosen, 3, own), "attention_mask": mask}
    labels, noise = np.where(chosen, own, -100), rng.random(shape)
    batch = ours.pack(**inputs)
    batch = replace(batch, targets={"labels": labels[mask == 1], "noise": noise[mask == 1]})
    grads, totals = ours.params.like(), objective.counts(batch)
    sums = objective(ours, batch, totals, None, grads)
    features = our_generator.forward(batch, logits=False)[0]["features"]
    found = replaced(batch, draw_words(our_generator, features, batch))

    logits = generator(**tensors(inputs)).logits
    masked_lm = F.cross_entropy(logits[chosen], torch.from_numpy(labels[chosen]))
    second = {"input_ids": batch.unpack(found.input_ids).astype(np.int64), "attention_mask": mask}
    real = torch.from_numpy(mask == 1)
    told = torch.from_numpy(found.targets["labels"]).double()
    detection = F.binary_cross_entropy_with_logits(theirs(**tensors(second)).logits[real], told)
    (masked_lm + 50 * detection).backward()
    assert 0 < told.sum() <= chosen.sum()
    ours_found = {name: value / totals[name] for name, value in sums.items()}
    expected = {"masked_lm": masked_lm.item(), "replaced_tokens": detection.item()}
    report.relative("replaced tokens, losses, float64", ours_found, expected, 1e-9)
    wanted = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    wanted |= {
        GENERATOR + name: p.grad.numpy()
        for name, p in generator.named_parameters()
        if not any(table in name for table in (*TABLES, "lm_head.weight"))
    }
    report.gradients("replaced tokens, every gradient, float64", grads, wanted, 1e-9)

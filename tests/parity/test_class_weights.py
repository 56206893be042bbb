"""Weights of classes against PyTorch's."""

import numpy as np
import torch

from minidistil.losses import cross_entropy


def test_the_weighted_mean_and_its_gradient_are_those_of_pytorch():
    rng = np.random.default_rng(0)
    z, y, weights = rng.normal(size=(50, 4)), rng.integers(0, 4, 50), rng.random(4)
    y[::5] = -100
    logits = torch.tensor(z, requires_grad=True)
    theirs = torch.nn.CrossEntropyLoss(weight=torch.tensor(weights))(logits, torch.tensor(y))
    theirs.backward()
    ours = cross_entropy(z, y, class_weights=weights)
    np.testing.assert_allclose(ours.mean, theirs.item(), rtol=1e-14)
    np.testing.assert_allclose(ours.grad / ours.count, logits.grad.numpy(), rtol=1e-12, atol=1e-17)

"""The feed-forward block, composed of linear layers and an activation; the kernels fuse it."""

from __future__ import annotations

from typing import Any

from minidistil.arrays import Array
from minidistil.ops.activations import ACTIVATIONS
from minidistil.ops.linear import linear_backward, linear_forward


def linear_activation_forward(
    x: Array, weight: Array, bias: Array, activation: str = "gelu", *, keep_cache: bool = True
) -> tuple[Array, Any]:
    """activation(x W^T + b): the first half of the feed-forward block.

    Parameters
    ----------
    x : [T, I]
    weight : [O, I]
    bias : [O]
    activation : a key of `ACTIVATIONS`
    keep_cache : bool
        False: there will be no backward pass.

    Returns
    -------
    out : [T, O]
    cache : for `linear_activation_backward`
    """
    y, linear = linear_forward(x, weight, bias)
    out, act = ACTIVATIONS[activation][0](y)
    return out, (linear, act, activation) if keep_cache else None


def linear_activation_backward(
    dout: Array, cache: Any, dweight: Array | None = None, dbias: Array | None = None
) -> tuple[Array, Array, Array]:
    """Gradients: back through the activation, then through the linear layer.

    Returns
    -------
    dx : [T, I]
    dweight : [O, I], dbias : [O], added to those given
    """
    linear, act, activation = cache
    dy = ACTIVATIONS[activation][1](dout, act)
    return linear_backward(dy, linear, dweight, dbias)


def feed_forward_forward(
    x: Array, up_weight: Array, up_bias: Array, down_weight: Array, down_bias: Array,
    activation: str = "gelu", *, keep_cache: bool = True,
) -> tuple[Array, Any]:  # fmt: skip
    """activation(x U^T + b) D^T + c: the feed-forward block, each token on its own.

    Parameters
    ----------
    x : [T, H]
    up_weight : U [I, H]
    up_bias : b [I]
    down_weight : D [H, I]
    down_bias : c [H]
    activation : a key of `ACTIVATIONS`
    keep_cache : bool
        False: there will be no backward pass.

    Returns
    -------
    out : [T, H]
    cache : for `feed_forward_backward`
    """
    wide, up = linear_activation_forward(x, up_weight, up_bias, activation, keep_cache=keep_cache)
    out, down = linear_forward(wide, down_weight, down_bias)
    return out, (up, down) if keep_cache else None


def feed_forward_backward(
    dout: Array, cache: Any, dup_weight: Array | None = None, dup_bias: Array | None = None,
    ddown_weight: Array | None = None, ddown_bias: Array | None = None,
) -> tuple[Array, Array, Array, Array, Array]:  # fmt: skip
    """Gradients: back through the second linear layer, then through the first and its activation.

    Returns
    -------
    dx : [T, H]
    dup_weight : [I, H], dup_bias : [I], ddown_weight : [H, I], ddown_bias : [H]; added to those given
    """
    up, down = cache
    dwide, ddown_weight, ddown_bias = linear_backward(dout, down, ddown_weight, ddown_bias)
    dx, dup_weight, dup_bias = linear_activation_backward(dwide, up, dup_weight, dup_bias)
    return dx, dup_weight, dup_bias, ddown_weight, ddown_bias

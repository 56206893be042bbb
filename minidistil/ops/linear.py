"""The linear layer: y = x W^T + b."""

from __future__ import annotations

from minidistil.arrays import Array


def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, tuple[Array, Array]]:
    """Multiply every row of `x` by `weight` and add `bias`.

    Parameters
    ----------
    x : [T, I]
        One row a token.
    weight : [O, I]
        PyTorch's layout: one row an output.
    bias : [O], optional

    Returns
    -------
    out : [T, O]
    cache : for `linear_backward`
    """
    out = x @ weight.T  # [T, I] @ [I, O] -> [T, O]
    if bias is not None:
        out += bias
    return out, (x, weight)


def linear_backward(
    dout: Array,
    cache: tuple[Array, Array],
    dweight: Array | None = None,
    dbias: Array | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of the linear layer. Parameter gradients are added to `dweight` and `dbias` if given.

    Returns
    -------
    dx : [T, I]
    dweight : [O, I]
    dbias : [O]

    Notes
    -----
    Forward, for one entry: y_to = sum_i x_ti w_oi + b_o. So

        dL/dx_ti = sum_o dy_to w_oi      ->  dx = dy W
        dL/dw_oi = sum_t dy_to x_ti      ->  dW = dy^T x
        dL/db_o  = sum_t dy_to           ->  db = column sums of dy
    """
    x, weight = cache
    dx = dout @ weight  # [T, O] @ [O, I] -> [T, I]
    dweight = add_to(dweight, dout.T @ x)  # [O, T] @ [T, I] -> [O, I]
    dbias = add_to(dbias, dout.sum(0))  # [T, O] -> [O]
    return dx, dweight, dbias


def add_to(total: Array | None, part: Array) -> Array:
    """`total += part`, where no total yet means zero: how every parameter gradient accumulates."""
    if total is None:
        return part
    total += part
    return total


def pack_weight(weight: Array) -> Array:
    """A weight as `linear_forward` may take it if it is used many times: here the array itself."""
    return weight

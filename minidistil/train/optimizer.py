"""AdamW over the flat array of parameters: ranges that decay, that do not, and that stand still."""

from __future__ import annotations

from collections.abc import Mapping, Set
from types import ModuleType
from typing import NamedTuple

from minidistil.arrays import Array
from minidistil.errors import CheckpointError
from minidistil.parameters import Parameters

DECAYING = ("weight", "embedding")  # roles; biases and layernorms never decay


class Segment(NamedTuple):
    """A range of the flat arrays whose parameters are treated alike."""

    start: int
    stop: int
    trained: bool
    decays: bool


def segments(params: Parameters, frozen: Set[str] = frozenset()) -> list[Segment]:
    """The flat array cut into as few ranges as possible, padding included."""
    found: list[Segment] = []
    for spec in params.specs:
        start = params.offsets[spec.name]
        trained = spec.name not in frozen
        new = Segment(start, start + spec.size, trained, trained and spec.role in DECAYING)
        if found and found[-1][2:] == new[2:]:
            found[-1] = found[-1]._replace(stop=new.stop)
        else:
            found.append(new)
    return found


class AdamW:
    """AdamW (Loshchilov & Hutter 2019) with weight decay chosen by each parameter's role.

    Parameters
    ----------
    params : Parameters
        Updated in place.
    backend : module
        `minidistil.ops` or `minidistil.kernels`.
    lr, betas, eps, weight_decay : float
        See `minidistil.ops.adamw.adamw_step`.
    frozen : set of str
        Names of parameters that stand still.

    Attributes
    ----------
    m, v : Parameters
        Running means of the gradient and of its square.
    steps : int
        Updates done.
    """

    def __init__(
        self,
        params: Parameters,
        backend: ModuleType,
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        frozen: Set[str] = frozenset(),
    ) -> None:
        self.params, self.backend = params, backend
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.segments = segments(params, frozen)
        self.trained = [name for name in params if name not in frozen]
        self.m, self.v = params.like(), params.like()
        self.steps = 0

    def __repr__(self) -> str:
        rates = f"lr={self.lr:g}, betas={self.betas}, eps={self.eps:g}, weight_decay={self.weight_decay:g}"
        return f"AdamW({rates}; {len(self.trained)} of {len(self.params)} tensors, {self.steps} steps)"

    def global_norm(self, grads: Parameters) -> float:
        """Norm of the gradient of all trained parameters. That of the frozen ones is set to zero."""
        self.params.check_like(grads)
        for start, stop, trained, _ in self.segments:
            if not trained:
                grads.flat[start:stop] = 0
        return float(self.backend.global_norm(grads.flat))

    def step(self, grads: Parameters, *, factor: float = 1.0, scale: float = 1.0) -> None:
        """Update once: learning rate times `factor` (the schedule), gradient times `scale` (clipping).

        Raises
        ------
        UsageError
            Gradients of another layout; parameters of a model that predicts.
        """
        self.params.check_like(grads)
        self.params.check_writable()
        self.steps += 1
        for start, stop, trained, decays in self.segments:
            if trained:
                self.backend.adamw_step(
                    self.params.flat[start:stop],
                    grads.flat[start:stop],
                    self.m.flat[start:stop],
                    self.v.flat[start:stop],
                    lr=self.lr * factor,
                    beta1=self.betas[0],
                    beta2=self.betas[1],
                    eps=self.eps,
                    weight_decay=self.weight_decay if decays else 0.0,
                    step=self.steps,
                    scale=scale,
                )

    def state(self) -> dict[str, Array]:
        """Both moments of every trained parameter, as "m.NAME" and "v.NAME" (views)."""
        return {
            f"{key}.{name}": parameters[name] for key, parameters in self._moments() for name in self.trained
        }

    def load_state(self, state: Mapping[str, Array], steps: int) -> None:
        """Take over what `state` gave, after `steps` updates.

        Raises
        ------
        CheckpointError
            A moment is missing or has another shape.
        """
        for key, parameters in self._moments():
            for name in self.trained:
                copy_into(parameters[name], state, f"{key}.{name}")
        self.steps = steps

    def _moments(self) -> tuple[tuple[str, Parameters], tuple[str, Parameters]]:
        return ("m", self.m), ("v", self.v)


def copy_into(target: Array, tensors: Mapping[str, Array], name: str) -> None:
    """`target[...] = tensors[name]`, if it is there and has that shape and dtype; else CheckpointError."""
    if name not in tensors:
        raise CheckpointError(f"the checkpoint has no tensor {name}")
    source = tensors[name]
    if source.shape != target.shape or source.dtype != target.dtype:
        raise CheckpointError(
            f"{name} is {source.dtype} {list(source.shape)} in the checkpoint, "
            f"{target.dtype} {list(target.shape)} in the model"
        )
    target[...] = source

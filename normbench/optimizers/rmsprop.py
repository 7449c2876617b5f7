"""RMSprop (Tieleman & Hinton 2012, lecture 6.5)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.optimizers.base import Optimizer, Tensors, per_run, zeros


class RMSprop(Optimizer):
    """RMSprop: w <- w - lr g / (sqrt(s) + eps), with the running mean s <- alpha s + (1 - alpha) g^2.

    With momentum, d = g / (sqrt(s) + eps), m <- momentum m + d and w <- w - lr m. `weight_decay` adds
    weight_decay w to the gradient g. The results equal `torch.optim.RMSprop`.
    """

    name: Literal["rmsprop"] = "rmsprop"
    lr: float = Field(0.01, gt=0, description="learning rate, for gradients of the mean loss of a batch")
    alpha: float = Field(0.99, ge=0, lt=1, description="decay of the running mean of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="added to the root of the mean squared gradient")
    momentum: float = Field(0.0, ge=0, lt=1, description="factor of the previous direction")

    paper: ClassVar[str] = "Tieleman & Hinton 2012, lecture 6.5, as torch.optim.RMSprop"
    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "alpha", "eps", "momentum")
    stacked: ClassVar[bool | None] = True

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return zeros for the running mean of the squared gradient and for the momentum."""
        return {"square": zeros(params), "momentum": zeros(params)}

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Update params and state in place."""
        for name, param in params.items():
            grad = grads[name]
            if "weight_decay" in hyper:
                grad = grad.addcmul(param, per_run(hyper["weight_decay"], param))
            alpha, square = per_run(hyper["alpha"], grad), state["square"][name]
            square.mul_(alpha).addcmul_(grad * (1 - alpha), grad)
            direction = grad / square.sqrt().add_(per_run(hyper["eps"], grad))
            if "momentum" in hyper:
                buffer = state["momentum"][name]
                direction = buffer.mul_(per_run(hyper["momentum"], grad)).add_(direction)
            param.addcmul_(direction, per_run(hyper["lr"], grad), value=-1)

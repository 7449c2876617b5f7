"""RMSprop."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.optimizers.base import Optimizer, Tensors, per_run, zeros


class RMSprop(Optimizer):
    """RMSprop: s <- alpha s + (1 - alpha) g^2; w <- w - lr g / (sqrt(s) + eps), or by momentum of that."""

    name: Literal["rmsprop"] = "rmsprop"
    lr: float = Field(0.01, gt=0, description="learning rate, per step of the mean loss of a batch")
    alpha: float = Field(0.99, ge=0, lt=1, description="memory of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="added to the root of the squared gradient")
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last direction that is kept")

    paper: ClassVar[str] = "Tieleman & Hinton 2012, lecture 6.5, as torch.optim.RMSprop"
    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "alpha", "eps", "momentum")

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return the running mean of the squared gradient, and the momentum buffers."""
        return {"square": zeros(params), "momentum": zeros(params)}

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Make one update in place."""
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

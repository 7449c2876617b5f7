"""Stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from normbench.optimizers.base import Optimizer, Tensors, per_run, zeros


class SGD(Optimizer):
    """SGD: d = grad + weight_decay w; m <- momentum m + d; w <- w - lr m (Nesterov: lr (d + momentum m))."""

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1, description="share of the last direction that is kept")
    nesterov: bool = Field(False, description="look ahead along the momentum")

    paper: ClassVar[str] = "Sutskever et al. 2013, as torch.optim.SGD"
    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "momentum")

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return the momentum buffers."""
        return {"momentum": zeros(params)}

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Make one update in place."""
        for name, param in params.items():
            direction = grads[name]
            if "weight_decay" in hyper:
                direction = direction.addcmul(param, per_run(hyper["weight_decay"], param))
            if "momentum" in hyper:
                direction = self._momentum(direction, state["momentum"][name], hyper["momentum"])
            param.addcmul_(direction, per_run(hyper["lr"], param), value=-1)

    def _momentum(self, direction: Tensor, buffer: Tensor, momentum: Tensor) -> Tensor:
        factor = per_run(momentum, buffer)
        buffer.mul_(factor).add_(direction)
        return direction.addcmul(buffer, factor) if self.nesterov else buffer

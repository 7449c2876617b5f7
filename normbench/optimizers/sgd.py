"""Stochastic gradient descent, with momentum (Sutskever et al. 2013)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from normbench.optimizers.base import Optimizer, Tensors, per_run, zeros


class SGD(Optimizer):
    """SGD: w <- w - lr m, with m <- momentum m + d and d = g + weight_decay w.

    With `nesterov`, w <- w - lr (d + momentum m). The results equal `torch.optim.SGD`.
    """

    name: Literal["sgd"] = "sgd"
    momentum: float = Field(0.0, ge=0, lt=1, description="factor of the previous direction")
    nesterov: bool = Field(False, description="Nesterov's momentum")

    paper: ClassVar[str] = "Sutskever et al. 2013, as torch.optim.SGD"
    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "momentum")
    stacked: ClassVar[bool | None] = True

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return zeros for the momentum."""
        return {"momentum": zeros(params)}

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Update params and state in place."""
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

"""Adam (Kingma & Ba 2015, arXiv:1412.6980) and AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from normbench.optimizers.base import Optimizer, Tensors, per_run, zeros


class Adam(Optimizer):
    """Adam: w <- w - lr m / (sqrt(v) + eps), with running means m of g and v of g^2, both bias-corrected.

    m_t = beta1 m_(t-1) + (1 - beta1) g and v_t = beta2 v_(t-1) + (1 - beta2) g^2, divided by 1 - beta1^t and
    1 - beta2^t. `weight_decay` adds weight_decay w to the gradient g. The results equal `torch.optim.Adam`.
    """

    name: Literal["adam"] = "adam"
    beta1: float = Field(0.9, ge=0, lt=1, description="decay of the running mean of the gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="decay of the running mean of the squared gradient")
    eps: float = Field(1e-8, gt=0, description="added to the root of the mean squared gradient")

    paper: ClassVar[str] = "Kingma & Ba 2015, arXiv:1412.6980"
    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay", "beta1", "beta2", "eps")
    stacked: ClassVar[bool | None] = True
    decoupled: ClassVar[bool] = False

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return zeros for the running means of the gradient and of its square."""
        return {"mean": zeros(params), "square": zeros(params)}

    def numbers(self, hyper: Tensors, step: int) -> Tensors:
        """Return the numbers of this step, with the bias corrections."""
        beta1, beta2 = hyper["beta1"], hyper["beta2"]
        corrected_lr, root = hyper["lr"] / (1 - beta1 ** (step + 1)), (1 - beta2 ** (step + 1)).sqrt()
        return {**hyper, "corrected_lr": corrected_lr, "root": root}

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Update params and state in place."""
        beta1, beta2, lr, root = (hyper[name] for name in ("beta1", "beta2", "corrected_lr", "root"))
        for name, param in params.items():
            grad = grads[name]
            if "weight_decay" in hyper:
                grad = self._decay(param, grad, hyper)
            mean, square = state["mean"][name], state["square"][name]
            mean.lerp_(grad, per_run(1 - beta1, grad))
            square.mul_(per_run(beta2, grad)).addcmul_(grad * per_run(1 - beta2, grad), grad)
            denominator = square.sqrt().div_(per_run(root, grad)).add_(per_run(hyper["eps"], grad))
            param.sub_(mean.div(denominator).mul_(per_run(lr, grad)))

    def _decay(self, param: Tensor, grad: Tensor, hyper: Tensors) -> Tensor:
        if self.decoupled:
            param.mul_(per_run(1 - hyper["lr"] * hyper["weight_decay"], param))
            return grad
        return grad.addcmul(param, per_run(hyper["weight_decay"], param))


class AdamW(Adam):
    """AdamW: Adam with decoupled weight decay: w <- (1 - lr weight_decay) w, then the update of Adam."""

    name: Literal["adamw"] = "adamw"  # type: ignore[assignment]
    weight_decay: float = Field(0.01, ge=0, description="decoupled decay of the weights per step, times lr")

    paper: ClassVar[str] = "Loshchilov & Hutter 2019, arXiv:1711.05101"
    decoupled: ClassVar[bool] = True

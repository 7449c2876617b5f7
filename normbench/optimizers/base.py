"""What an optimiser is here: an update of stacked tensors, each hyper-parameter one number for each run."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor

from normbench.registry import Named, Options

Tensors = dict[str, Tensor]


class Schedule(Options):
    """How the rate changes over the steps: lr times a factor.

    constant: 1. linear: falls to `final` at the last step. cosine: half a cosine down to `final`.
    step: times `gamma` at each of `milestones`. `warmup` steps first raise the factor from 1/warmup.
    """

    name: Literal["constant", "step", "linear", "cosine"] = "constant"
    warmup: int = Field(0, ge=0, description="steps over which the rate rises linearly")
    final: float = Field(0.0, ge=0, description="factor at the last step (linear, cosine)")
    milestones: list[int] = Field([], description="steps at which the rate is multiplied (step)")
    gamma: float = Field(0.1, gt=0, description="what it is multiplied with (step)")

    def factor(self, step: int, steps: int) -> float:
        """Return the factor of the rate for the update number `step` (from 0) of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, steps - self.warmup)
        if self.name == "linear":
            return 1 + (self.final - 1) * progress
        if self.name == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
        if self.name == "step":
            return self.gamma ** sum(step >= milestone for milestone in self.milestones)
        return 1.0


class Optimizer(Named):
    """Base of all optimisers. `per_run` names the fields in which the runs of one stack may differ."""

    lr: float = Field(0.1, gt=0, description="learning rate, per step of the mean loss of a batch")
    weight_decay: float = Field(0.0, ge=0, description="as the torch optimiser of this name")
    schedule: Schedule = Field(Schedule(), description="how the rate changes over the steps")
    clip_norm: float | None = Field(None, gt=0, description="largest norm of a run's whole gradient")

    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")
    switches: ClassVar[tuple[str, ...]] = ("weight_decay", "momentum")  # 0 turns their arithmetic off

    @field_validator("schedule", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def in_common(self) -> dict[str, Any]:
        """Return what the runs of one stack have in common of these options, as plain data."""
        return self.model_dump(mode="json", exclude=set(self.per_run))

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return the optimiser's empty state: a name, then one tensor for each parameter."""
        return {}

    def numbers(self, hyper: Tensors, step: int) -> Tensors:
        """Return the numbers, each (R,), that the update number `step` (from 0) takes.

        `hyper` has the fields of `per_run`, lr with the schedule applied; one of `switches` that is 0 for all
        runs of the stack is left out, and its arithmetic with it.
        """
        return hyper

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Make one update of params and state in place; the gradients stay as they are.

        `hyper` as `numbers` returns it. Traced: tensor operations alone.
        """
        raise NotImplementedError

    def apply(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Make one update in place, each run's gradient clipped if asked for."""
        if self.clip_norm is not None:
            grads = clip(grads, self.clip_norm)
        self.update(params, grads, state, hyper)


def per_run(value: Tensor, like: Tensor) -> Tensor:
    """Shape (R,) so that it multiplies (R, ...)."""
    return value.view(-1, *[1] * (like.dim() - 1))


def zeros(params: Tensors) -> Tensors:
    """Return a tensor of zeros for each parameter."""
    return {name: torch.zeros_like(param) for name, param in params.items()}


def clip(grads: Tensors, max_norm: float) -> Tensors:
    """Return the gradients, each run's scaled so that its norm over all parameters is at most `max_norm`."""
    squares = torch.stack([grad.flatten(1).square().sum(1) for grad in grads.values()])  # (P, R)
    factor = (max_norm / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    return {name: grad * per_run(factor, grad) for name, grad in grads.items()}

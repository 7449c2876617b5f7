"""The interface of an optimizer: it updates stacked tensors, with one value of each option per run."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.func import vmap

from normbench.nn.torch_private import tree_map
from normbench.registry import Named, Options

Tensors = dict[str, Tensor]


class Schedule(Options):
    """The learning rate over the steps: lr times a factor.

    The factor is 1 (`constant`), falls linearly to `final` (`linear`), follows half a cosine to `final`
    (`cosine`; Loshchilov & Hutter 2017, arXiv:1608.03983), or is multiplied by `gamma` at each of the
    `milestones` (`step`). Before that, `warmup` steps raise it from 1/warmup to 1. `linear` and `cosine` are
    at 1 in the first update after the warmup, and at `final` in the last update of the training.
    """

    name: Literal["constant", "step", "linear", "cosine"] = "constant"
    warmup: int = Field(0, ge=0, description="steps over which the learning rate rises linearly")
    final: float = Field(0.0, ge=0, description="factor at the end of training (linear, cosine)")
    milestones: list[int] = Field([], description="steps at which the factor is multiplied by gamma (step)")
    gamma: float = Field(0.1, gt=0, description="multiplies the factor at each milestone (step)")

    def factor(self, step: int, steps: int) -> float:
        """Return the factor of lr for update number `step` (from 0) of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        left = steps - 1 - self.warmup  # updates after the first one
        progress = min(1.0, (step - self.warmup) / left) if left > 0 else 1.0
        if self.name == "linear":
            return 1 + (self.final - 1) * progress
        if self.name == "cosine":
            return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2
        if self.name == "step":
            return self.gamma ** sum(step >= milestone for milestone in self.milestones)
        return 1.0

    def hashed(self) -> dict[str, Any]:
        """Return the options as a run's id hashes them.

        In version 0.2, `linear` and `cosine` reached `final` one update after the last. Their runs have
        other numbers now, and therefore other ids.
        """
        ends = {"reaches_final": "last update"} if self.name in ("linear", "cosine") else {}
        return super().hashed() | ends


class Optimizer(Named):
    """Base of all optimizers.

    Class attributes:
        per_run: options in which the runs of one stack may differ.
        switches: options whose arithmetic is left out if they are 0 for all runs of a stack.
        stacked: false if `state` and `update` are written for one run, as a layer is: the engine maps them
            over the runs. True if they take tensors with a run axis in front, (R, ...), and numbers (R,).
            None, for a class that does not say it: written for one run, after a check that it is.
    """

    lr: float = Field(0.1, gt=0, description="learning rate, for gradients of the mean loss of a batch")
    weight_decay: float = Field(0.0, ge=0, description="as in the torch optimizer of this name")
    schedule: Schedule = Field(Schedule(), description="learning rate over the steps")
    clip_norm: float | None = Field(
        None, gt=0, description="largest norm of the gradient of a run, over all parameters"
    )

    per_run: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")
    switches: ClassVar[tuple[str, ...]] = ("weight_decay", "momentum")
    stacked: ClassVar[bool | None] = None

    @field_validator("schedule", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def in_common(self) -> dict[str, Any]:
        """Return the options that all runs of a stack share, as plain data."""
        return self.model_dump(mode="json", exclude=set(self.per_run))

    def state(self, params: Tensors) -> dict[str, Tensors]:
        """Return the initial state: for each of its names, one tensor per parameter, by the same names."""
        return {}

    def numbers(self, hyper: Tensors, step: int) -> Tensors:
        """Return the numbers that `update` needs at update number `step` (from 0), (R,) each.

        `hyper` holds the options of `per_run`, (R,) each, with the schedule applied to lr. Options of
        `switches` that are 0 for all runs of the stack are missing. Only element-wise arithmetic is allowed.
        """
        return hyper

    def update(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Update params and state in place. It is traced, so it may use tensor operations only.

        Args:
            params: parameters by name; with `stacked` (R, ...) each.
            grads: gradients by name, not to be changed.
            state: the state, as `state` returns it.
            hyper: the numbers of this step, as `numbers` returns them, 0-dimensional; with `stacked` (R,).
        """
        raise NotImplementedError

    def initial_state(self, params: Tensors) -> dict[str, Tensors]:
        """Return the initial state of stacked runs, (R, ...) each, for parameters (R, ...)."""
        if self.stacked:
            return self.state(params)
        runs = len(next(iter(params.values()))) if params else 0
        states = [self.state({name: param[run] for name, param in params.items()}) for run in range(runs)]
        return {
            what: {name: torch.stack([one[what][name] for one in states]) for name in tensors}
            for what, tensors in (states[0] if states else {}).items()
        }

    def apply(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors) -> None:
        """Clip the gradients if `clip_norm` is set, then update params and state in place.

        Args:
            params: parameters by name, (R, ...) each.
            grads: gradients by name.
            state: the state, as `state` returns it.
            hyper: the numbers of this step, as `numbers` returns them.
        """
        if self.clip_norm is not None:
            grads = clip(grads, self.clip_norm)
        if self.stacked:
            self.update(params, grads, state, hyper)
        else:
            self._update_each(params, grads, state, hyper)

    def _update_each(
        self, params: Tensors, grads: Tensors, state: dict[str, Tensors], hyper: Tensors
    ) -> None:
        """Update stacked runs by a rule that is written for one run."""
        groups = (params, grads, state, hyper)
        if len(next(iter(params.values()))) == 1:  # a single run needs no mapping: views without the axis
            self.update(*tree_map(lambda tensor: tensor.squeeze(0), groups))
            return

        def one(*groups: Any) -> tuple[()]:
            self.update(*groups)
            return ()

        vmap(one)(*groups)


def per_run(value: Tensor, like: Tensor) -> Tensor:
    """Return the value (R,) in a shape that multiplies `like` (R, ...); a single number as it is."""
    if value.dim() == 0:
        return value
    return value.view(-1, *[1] * (like.dim() - 1))


def zeros(params: Tensors) -> Tensors:
    """Return a tensor of zeros for each parameter."""
    return {name: torch.zeros_like(param) for name, param in params.items()}


def clip(grads: Tensors, max_norm: float) -> Tensors:
    """Return the gradients, scaled so that the norm of each run over all parameters is at most `max_norm`."""
    squares = torch.stack([grad.flatten(1).square().sum(1) for grad in grads.values()])  # (P, R)
    factor = (max_norm / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    return {name: grad * per_run(factor, grad) for name, grad in grads.items()}

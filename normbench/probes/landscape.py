"""The loss and its gradient along the gradient."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from normbench.names import NET
from normbench.probes.base import Probe, Values
from normbench.probes.view import RunView, minus, norm


class Landscape(Probe):
    """Range of the loss, gradient predictiveness and effective smoothness along the gradient.

    g = gradient at theta, theta(eta) = theta - eta g, for measurement only, on the coming batch; eta takes
    `points` log-spaced values from `low` to `high` times the learning rate (as such with `relative: false`).
    loss_min, loss_max: of L(theta(eta)); change_min, change_max: of ||grad(theta) - grad(theta(eta))||;
    smoothness: max of ||grad(theta) - grad(theta(eta))|| / ||eta g||. The optimiser's own direction plays
    no part.
    """

    name: Literal["landscape"] = "landscape"
    low: float = Field(0.5, gt=0, description="the smallest step, in learning rates")
    high: float = Field(4.0, gt=0, description="the largest step")
    points: int = Field(8, ge=2, le=1000, description="how many steps")
    relative: bool = Field(True, description="false: `low` and `high` are the steps themselves")

    paper: ClassVar[str] = "Santurkar et al. 2018, arXiv:1805.11604, figure 4"

    @model_validator(mode="after")
    def _upwards(self) -> Landscape:
        if self.low >= self.high:
            raise ValueError(f"found low: {self.low:g}, high: {self.high:g}; allowed: low below high")
        return self

    def cost(self, net: nn.Module) -> float:
        """Return a gradient at each point and one at the start."""
        return self.points + 1.0

    def measure(self, run: RunView) -> Values:
        """Return the five numbers of the net."""
        start = run.gradients()
        length = norm(start)
        losses, changes, slopes = [], [], []
        for place in range(self.points):
            factor = self.low * (self.high / self.low) ** (place / (self.points - 1))
            eta = run.rate * factor if self.relative else torch.full_like(run.rate, factor)
            there = {name: run.params[name] - eta * gradient for name, gradient in start.items()}
            gradient, loss = run.gradients_and_loss(there)
            change = norm(minus(gradient, start))
            losses.append(loss)
            changes.append(change)
            slopes.append(change / (eta * length))
        loss, change = torch.stack(losses), torch.stack(changes)
        found = {"loss_min": loss.amin(), "loss_max": loss.amax()}
        found |= {"change_min": change.amin(), "change_max": change.amax()}
        found["smoothness"] = torch.stack(slopes).amax()
        return {(NET, f"landscape.{name}"): value for name, value in found.items()}

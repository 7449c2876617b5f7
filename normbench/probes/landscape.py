"""The loss and its gradient along the gradient direction."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import nn

from normbench.names import NET
from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, minus, norm


class Landscape(Probe):
    """Range of the loss, gradient predictiveness and effective smoothness along the gradient.

    With the gradient g at theta on the coming batch, theta(eta) = theta - eta g, for measurement only. eta
    takes `points` log-spaced values from `low` to `high`, in units of the learning rate (with
    `relative: false`, absolute). The direction is that of the gradient, not of the optimizer's update.
    """

    name: Literal["landscape"] = "landscape"
    low: float = Field(0.5, gt=0, description="the smallest step size, in learning rates")
    high: float = Field(4.0, gt=0, description="the largest step size, in learning rates")
    points: int = Field(8, ge=2, le=1000, description="number of step sizes")
    relative: bool = Field(True, description="false: `low` and `high` are absolute step sizes")

    paper: ClassVar[str] = "Santurkar et al. 2018, arXiv:1805.11604, figure 4"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "landscape.loss_min",
            "smallest loss along the gradient",
            "smallest L(θ(η))",
            unit="nats",
            of="net",
        ),
        Quantity(
            "landscape.loss_max", "largest loss along the gradient", "largest L(θ(η))", unit="nats", of="net"
        ),
        Quantity(
            "landscape.change_min",
            "smallest change of the gradient",
            "smallest ‖∇L(θ) - ∇L(θ(η))‖: gradient predictiveness",
            unit="L2 norm",
            of="net",
        ),
        Quantity(
            "landscape.change_max",
            "largest change of the gradient",
            "largest ‖∇L(θ) - ∇L(θ(η))‖",
            unit="L2 norm",
            of="net",
        ),
        Quantity(
            "landscape.smoothness",
            "effective smoothness",
            "largest ‖∇L(θ) - ∇L(θ(η))‖ / ‖η g‖",
            unit="change / length",
            of="net",
        ),
    )

    @model_validator(mode="after")
    def _upwards(self) -> Landscape:
        if self.low >= self.high:
            raise ValueError(f"found low: {self.low:g}, high: {self.high:g}; allowed: low below high")
        return self

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a gradient at each point and one at the start."""
        return self.points + 1.0

    def measure(self, run: RunView) -> Values:
        """Return the numbers of the net."""
        start = run.gradients()
        length = norm(start)
        losses, changes, slopes = [], [], []
        for place in range(self.points):
            factor = self.low * (self.high / self.low) ** (place / (self.points - 1))
            eta = run.lr * factor if self.relative else torch.full_like(run.lr, factor)
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

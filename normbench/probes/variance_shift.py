"""The variance of a normalization's inputs in training and at inference."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, net_norms


class VarianceShift(Probe):
    """Variance of each normalization's inputs in training, at inference, and inference / training.

    The variance is the biased variance of each feature over the images (and pixels) of the coming batch,
    averaged over features. Training uses dropout and batch statistics, inference neither.
    """

    name: Literal["variance_shift"] = "variance_shift"

    paper: ClassVar[str] = "Li et al. 2019, arXiv:1801.05134"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("variance_shift.training", "variance in training", "variance in training"),
        Quantity("variance_shift.inference", "variance in inference", "variance at inference"),
        Quantity(
            "variance_shift.ratio",
            "variance in inference / in training",
            "inference / training; with dropout directly before it and inputs of mean 0, the probability "
            "that a unit is kept (Li et al. 2019)",
        ),
    )

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse nets without a normalization layer."""
        if not net_norms(net):
            return "no layer of the net has a normalization of its inputs"
        return None

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a step and a forward pass."""
        return 2.0

    def measure(self, run: RunView) -> Values:
        """Return the numbers of each normalization."""
        training, inference = run.seen(training=True).norms, run.seen(training=False).norms
        values: Values = {}
        for layer, (x, _) in training.items():
            before, after = variance(x), variance(inference[layer][0])
            values[layer, "variance_shift.training"] = before
            values[layer, "variance_shift.inference"] = after
            values[layer, "variance_shift.ratio"] = after / before
        return values


def variance(x: Tensor) -> Tensor:
    """Return the mean over features of the variance of x (B, F, ...)."""
    return x.movedim(1, 0).flatten(1).var(1, correction=0).mean()

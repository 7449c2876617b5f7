"""Statistics of the inputs and outputs of each layer's activation."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, net_activations

PERCENTS = (15, 50, 85)
MOST_SORTED = 2048  # sorting is slow: percentiles of a larger layer are taken from this many values
SATURATED = 0.05  # of the largest slope


class Activations(Probe):
    """Mean, deviation, percentiles, saturated and dead units of each hidden layer's activation y = f(x).

    Measured on the coming training batch, all units and images pooled. Percentiles are linear between
    neighbors; layers of more than 2,048 values are represented by 2,048 evenly spread ones. A value is
    saturated if |f'(x)| < 0.05 max |f'|. The outer bins of the histogram include the values beyond them.
    """

    name: Literal["activations"] = "activations"
    unit: int | None = Field(None, ge=0, description="take the percentiles of this unit only, counted from 0")
    bins: int = Field(
        0, ge=0, le=1000, description="number of bins of the histogram of the outputs; 0: no histogram"
    )
    low: float = Field(-3.0, description="lower end of the first bin")
    high: float = Field(3.0, description="upper end of the last bin")

    paper: ClassVar[str] = "Ioffe & Szegedy 2015, arXiv:1502.03167, figure 1"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity("activations.input_mean", "mean of the activation's inputs", "mean of x"),
        Quantity(
            "activations.input_std",
            "standard deviation of the activation's inputs",
            "standard deviation of x",
        ),
        *(
            Quantity(
                f"activations.input_p{percent}",
                f"{percent}th percentile of the activation's inputs",
                f"{percent}th percentile of x; with `unit: k`, of unit k only "
                "(Ioffe & Szegedy 2015, figure 1b,c)",
            )
            for percent in PERCENTS
        ),
        Quantity("activations.mean", "mean of the outputs", "mean of y"),
        Quantity("activations.std", "standard deviation of the outputs", "standard deviation of y"),
        Quantity(
            "activations.saturated",
            "saturated outputs",
            "share of values at which the slope of f is below 5 % of its largest slope",
            unit="share",
        ),
        Quantity(
            "activations.dead",
            "dead units",
            "share of units that are saturated for every image (and pixel) of the batch",
            unit="share",
        ),
        Quantity(
            "activations.density@",
            "density of the outputs",
            "with `bins: n`: share of y in the bin around c, of n equal bins from `low` to `high`; the outer "
            "bins include the values beyond them",
            unit="share",
        ),
    )
    cheap: ClassVar[bool] = True

    @model_validator(mode="after")
    def _upwards(self) -> Activations:
        if self.low >= self.high:
            raise ValueError(f"found low: {self.low:g}, high: {self.high:g}; allowed: low below high")
        return self

    def measured(self) -> tuple[Quantity, ...]:
        """Return all quantities, without the histogram if it has no bins."""
        return tuple(one for one in self.quantities if self.bins or not one.name.endswith("@"))

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse nets whose activations are not modules: recurrent cells."""
        if not net_activations(net):
            return "the net has no activations outside of its recurrent cells"
        return None

    def cost(self, net: nn.Module) -> float:
        """Return the cost of the step shared with the other cheap probes, and of sorting."""
        return 2.0

    def prepare(self, net: nn.Module) -> None:
        """Compute the largest slope of each activation."""
        for activation in net_activations(net).values():
            largest_slope(activation)

    def measure(self, run: RunView) -> Values:
        """Return the numbers of each layer with an activation."""
        values: Values = {}
        for layer, (x, y) in run.seen().activations.items():
            x, y = x.detach(), y.detach()
            found = {"input_mean": x.mean(), "input_std": deviation(x), "mean": y.mean()}
            found["std"] = deviation(y)
            if self.unit is None or self.unit < x.shape[1]:
                pooled = x if self.unit is None else x[:, self.unit]
                for percent, value in zip(PERCENTS, percentiles(pooled.flatten(), PERCENTS), strict=True):
                    found[f"input_p{percent}"] = value
            found["saturated"], found["dead"] = saturation(run.activations[layer], x)
            if self.bins:
                width = (self.high - self.low) / self.bins
                for place, share in enumerate(shares(y.flatten(), self.low, width, self.bins)):
                    found[f"density@{self.low + (place + 0.5) * width:g}"] = share
            values.update({(layer, f"activations.{name}"): value for name, value in found.items()})
        return values


def deviation(values: Tensor) -> Tensor:
    """Return the standard deviation of all values. torch's own takes five times as long in a stack."""
    return (values - values.mean()).square().mean().sqrt()


def percentiles(values: Tensor, percents: tuple[int, ...]) -> list[Tensor]:
    """Return percentiles of values (n,), linear between neighbors as in numpy."""
    count = len(values)
    if count > MOST_SORTED:
        # a stride near the golden section, coprime to the count, visits every place once, evenly spread
        step = next(s for s in range(round(0.618 * count), count) if math.gcd(s, count) == 1)
        values = values[torch.arange(MOST_SORTED, device=values.device) * step % count]
        count = MOST_SORTED
    ordered = values.sort().values
    found = []
    for percent in percents:
        place = percent / 100 * (count - 1)
        below = min(int(place), count - 1)
        above = min(below + 1, count - 1)
        found.append(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
    return found


def saturation(activation: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the share of saturated values of x (B, F, ...), and of units saturated for the whole batch."""
    y, pull = torch.func.vjp(activation, x)  # type: ignore[misc]
    slope = pull(torch.ones_like(y))[0].abs()
    flat = (slope < SATURATED * largest_slope(activation)).to(x.dtype)
    flat = torch.where(slope.isnan(), slope, flat)
    return flat.mean(), flat.movedim(1, 0).flatten(1).amin(1).mean()


_slopes: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


def largest_slope(activation: nn.Module) -> float:
    """Return the largest |f'| of an activation. It is computed once, outside of any trace."""
    if activation not in _slopes:
        _slopes[activation] = _find_largest_slope(activation)
    return _slopes[activation]


def _find_largest_slope(activation: nn.Module) -> float:
    with torch.enable_grad():
        x = torch.linspace(-10, 10, 20_001, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(activation(x).sum(), x)
    return float(slope.abs().max())


def shares(values: Tensor, low: float, width: float, bins: int) -> Tensor:
    """Return the share of values in each of equal bins, (bins,); NaN if a value is NaN.

    Args:
        values: (n,).
        low: where the first bin begins.
        width: of a bin.
        bins: their number; the outer ones take what lies beyond.
    """
    place = ((values - low) / width).floor().nan_to_num().clamp(0, bins - 1).long()
    counts = values.new_zeros(bins).scatter_add(0, place, torch.ones_like(values))
    return counts / len(values) + 0 * values.mean()

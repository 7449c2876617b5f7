"""What goes into the activations and what comes out of them, layer by layer."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from normbench.probes.base import Probe, Values
from normbench.probes.view import RunView, net_activations

PERCENTS = (15, 50, 85)
MOST_SORTED = 2048  # values of a layer that the percentiles are taken from, at most; sorting costs
SATURATED = 0.05  # of the largest slope


class Activations(Probe):
    """Mean, deviation, percentiles, saturated and dead units of each hidden layer's activation y = f(x).

    On the coming training batch, all units and images pooled: mean and standard deviation of x and of y;
    percentiles 15, 50 and 85 of x (of one unit with `unit`, as in Ioffe & Szegedy's figure 1), linear between
    neighbours, for layers of more than 2,048 values from 2,048 evenly spread ones. saturated: share of values
    with |f'(x)| < 0.05 max |f'|; dead: share of units that are saturated for every image (and pixel).
    With `bins`, density@c: share of y in the bin around c; the outer ones take what lies beyond.
    """

    name: Literal["activations"] = "activations"
    unit: int | None = Field(None, ge=0, description="take the percentiles of this unit alone, from 0")
    bins: int = Field(0, ge=0, le=1000, description="bins of the histogram of the outputs; 0: none")
    low: float = Field(-3.0, description="where the first bin begins")
    high: float = Field(3.0, description="where the last bin ends")

    paper: ClassVar[str] = "Ioffe & Szegedy 2015, arXiv:1502.03167, figure 1"
    cheap: ClassVar[bool] = True

    @model_validator(mode="after")
    def _upwards(self) -> Activations:
        if self.low >= self.high:
            raise ValueError(f"found low: {self.low:g}, high: {self.high:g}; allowed: low below high")
        return self

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse nets whose activations are no modules: recurrent cells."""
        if not net_activations(net):
            return "the net has no activations outside of its recurrent cells"
        return None

    def cost(self, net: nn.Module) -> float:
        """Return the step that it shares with the other cheap ones, and its sorting."""
        return 2.0

    def prepare(self, net: nn.Module) -> None:
        """Find each activation's largest slope."""
        for activation in net_activations(net).values():
            largest_slope(activation)

    def measure(self, run: RunView) -> Values:
        """Return the numbers of each layer that has an activation."""
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
    """Return the standard deviation of all values; torch's own takes five times as long in a stack."""
    return (values - values.mean()).square().mean().sqrt()


def percentiles(values: Tensor, percents: tuple[int, ...]) -> list[Tensor]:
    """Return percentiles of values (n,), linear between neighbours as numpy's."""
    count = len(values)
    if count > MOST_SORTED:
        # steps of the golden section without a common divisor meet every place once, evenly spread
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
    """Return the share of saturated values of x (B, F, ...), and of units that are for the whole batch."""
    y, pull = torch.func.vjp(activation, x)  # type: ignore[misc]
    slope = pull(torch.ones_like(y))[0].abs()
    flat = (slope < SATURATED * largest_slope(activation)).to(x.dtype)
    flat = torch.where(slope.isnan(), slope, flat)
    return flat.mean(), flat.movedim(1, 0).flatten(1).amin(1).mean()


_slopes: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()


def largest_slope(activation: nn.Module) -> float:
    """Return the largest |f'| of an activation; found once, outside of any trace."""
    if activation not in _slopes:
        _slopes[activation] = _find_largest_slope(activation)
    return _slopes[activation]


def _find_largest_slope(activation: nn.Module) -> float:
    with torch.enable_grad():
        x = torch.linspace(-10, 10, 20_001, dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(activation(x).sum(), x)
    return float(slope.abs().max())


def shares(values: Tensor, low: float, width: float, bins: int) -> Tensor:
    """Return the share of values (n,) in each of `bins` equal bins, (bins,); NaN where values are."""
    place = ((values - low) / width).floor().nan_to_num().clamp(0, bins - 1).long()
    counts = values.new_zeros(bins).scatter_add(0, place, torch.ones_like(values))
    return counts / len(values) + 0 * values.mean()

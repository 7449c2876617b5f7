"""Weight normalization (Salimans & Kingma 2016, arXiv:1602.07868)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.nn import functional
from normbench.norms.base import Normalization
from normbench.norms.wrapped import Wrapped


class WeightNorm(Normalization):
    """Weight normalization: w = g v / ||v||, for each output unit; the first batch sets g and b.

    v is (out, in, ...), with the norm over the inputs of a unit; g and the bias b are (out,). Without
    `init_from_data`, g starts as ||v||: the net then starts as the plain net.
    """

    name: Literal["weightnorm"] = "weightnorm"
    init_from_data: bool = Field(
        True, description="set g and b so that the outputs for the first batch have mean 0 and variance 1"
    )

    short_names: ClassVar[tuple[str, ...]] = ("wn",)
    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868"

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return the layer with normalized weights."""
        return WeightNormed(layer, self.init_from_data)

    def init(self) -> dict[str, object]:
        """Return the initial weights of the paper, N(0, 0.05^2), if the data sets the scale."""
        return {"scheme": "normal", "std": 0.05} if self.init_from_data else {}


class WeightNormed(Wrapped):
    """y = g (v.x) / ||v|| + b. v (out, in, ...) has the name `weight`, g (out,) the name `gain`.

    In a convolution, ||v|| is taken over the input channels and the kernel.
    """

    gain: Tensor
    scale_invariant = True

    def __init__(self, layer: nn.Module, init_from_data: bool) -> None:
        super().__init__(layer)
        self.gain = nn.Parameter(torch.ones(self.weight.shape[0]))
        self.init_from_data = init_from_data

    def norm(self) -> Tensor:
        """Return ||v|| of each output unit, (out,)."""
        return self.weight.flatten(1).square().sum(-1).sqrt()

    def effective(self) -> Tensor:
        """Return w = g v / ||v||, (out, in, ...)."""
        scale = (self.gain / self.norm()).view(-1, *[1] * (self.weight.dim() - 1))
        return self.weight * scale

    def forward(self, x: Tensor) -> Tensor:
        """Return (g / ||v||) v.x + b. Scaling the outputs avoids a copy of the weights."""
        if self.weight.dim() == 2:
            return functional.weight_norm_linear(x, self.weight, self.gain, self.bias)
        t = self.product(x, self.weight)
        shape = (-1, *[1] * (t.dim() - 2))
        scale = (self.gain / self.norm()).view(shape)
        return t * scale if self.bias is None else torch.addcmul(self.bias.view(shape), t, scale)

    @torch.no_grad()
    def initialize(self, x: Tensor | None) -> None:
        """Set g and b from a batch: t = v.x/||v||, g = 1/std(t), b = -mean(t)/std(t) (section 3)."""
        if not self.init_from_data or x is None:
            self.gain.copy_(self.norm())
            return
        t = self.product(x, self.weight)
        t = t.movedim(1, 0).flatten(1) / self.norm().unsqueeze(-1)  # (out, B or B*H*W)
        mean, std = t.mean(1), t.std(1, correction=0)
        # the outputs of a unit that are equal for the whole batch have no scale; its g stays 1
        self.gain.copy_(torch.where(std > 1e-12, 1 / std, torch.ones_like(std)))
        if self.bias is not None:
            self.bias.copy_(-mean * self.gain)

"""Highway nets (Srivastava, Greff & Schmidhuber 2015, arXiv:1505.00387)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from normbench.models.base import Model
from normbench.models.init import Init
from normbench.models.mlp import MLPNet
from normbench.nn.layers import Linear, Sigmoid


class Highway(Model):
    """Highway net: y = H(x) T(x) + x (1 - T(x)), T(x) = sigmoid(W_T x + b_T); the first layer is plain.

    H is a hidden layer with its normalization; the gate T has none. With `gates: false` the net is
    plain, with sqrt(2) `width` units per layer, rounded, so that a layer has about as many parameters (50 and
    71 units in the paper).
    """

    name: Literal["highway"] = "highway"
    depth: int = Field(
        10, ge=2, le=1000, description="number of hidden layers: one plain, the others with gates"
    )
    width: int = Field(50, ge=1, description="units per hidden layer of the net with gates")
    gates: bool = Field(True, description="false: the plain net with as many parameters")
    gate_bias: float = Field(-2.0, description="initial b_T; below 0, the layers first pass x through")

    alike_from: ClassVar[int | None] = 2
    paper: ClassVar[str] = "Srivastava, Greff & Schmidhuber 2015, arXiv:1505.00387"

    def resolve(self) -> Model:
        """Return the options in effect; without gates, `gate_bias` is reset."""
        resolved = super().resolve()
        default = type(self).model_fields["gate_bias"].default
        return resolved if self.gates else resolved.model_copy(update={"gate_bias": default})

    def units(self) -> int:
        """Return the number of units per hidden layer."""
        return self.width if self.gates else round(math.sqrt(2) * self.width)

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
        units, inputs = self.units(), math.prod(input_shape)
        hidden = nn.Sequential(self.block(Linear(inputs, units, bias=self.needs_bias()), inputs, units))
        for _ in range(self.depth - 1):
            block = self.block(Linear(units, units, bias=self.needs_bias()), units, units)
            hidden.append(Gated(block, units, self.gate_bias) if self.gates else block)
        return MLPNet(
            nn.Sequential(*self.drop("input").values()),
            hidden,
            nn.Sequential(*self.drop("classifier").values()),
            self.norm.wrap_classifier(Linear(units, classes, bias=self.bias is not False)),
        )


class Gated(nn.Module):
    """y = H(x) T(x) + x (1 - T(x)), with the hidden layer H and the gate T."""

    def __init__(self, block: nn.Module, units: int, gate_bias: float) -> None:
        super().__init__()
        self.block, self.gate, self.open = block, Linear(units, units), Sigmoid()
        self.gate_bias = gate_bias

    @torch.no_grad()
    def start(self, init: Init, rng: Callable[[str], torch.Generator]) -> None:
        """Set the bias of the gate."""
        self.gate.bias.fill_(self.gate_bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, F) to (B, F)."""
        return torch.addcmul(x, self.open(self.gate(x)), self.block(x) - x)

"""The plain recurrent net (Elman 1990)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from normbench.models.base import Activation
from normbench.models.recurrent import Cell, Recurrent
from normbench.nn.layers import ACTIVATIONS
from normbench.norms.sequence import Seen


class RNN(Recurrent):
    """Plain recurrent net: h_t = tanh(N(W_x x_t) + N(W_h h_t-1) + b), or with another activation."""

    name: Literal["rnn"] = "rnn"
    activation: Activation = Field("tanh", description="activation of each step")

    paper: ClassVar[str] = "Elman 1990, doi:10.1207/s15516709cog1402_1"
    gates: ClassVar[int] = 1

    def cell(self, inputs: int, steps: int) -> Cell:
        """Return one layer."""
        return RNNCell(self, inputs, steps)


class RNNCell(Cell):
    """One layer of a plain recurrent net."""

    def __init__(self, options: RNN, inputs: int, steps: int) -> None:
        super().__init__(options, inputs, steps)
        self.activation = ACTIVATIONS[options.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """Map a sequence (T, B, F) to the outputs of all steps, (T, B, H)."""
        h, outputs = self.first(x), []
        seen: Seen = []
        for step, z in enumerate(self.inputs(x)):
            h = self.activation(z + self.recur(h, step, seen))
            outputs.append(h)
        self.remember(seen)
        return torch.stack(outputs)

"""Types: an output in float64.

refused: it got (32, 8) float32 and returned (32, 8) float64
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An output in float64."""

    name: Literal["float64_output"] = "float64_output"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.double().tanh()

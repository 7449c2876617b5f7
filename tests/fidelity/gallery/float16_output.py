"""Types: an output in float16.

refused: it got (32, 8) float32 and returned (32, 8) float16
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """An output in float16."""

    name: Literal["float16_output"] = "float16_output"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.half()

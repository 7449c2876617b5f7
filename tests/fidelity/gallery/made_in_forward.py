"""Structure: a layer that is made in the first pass.

refused: makes the parameter 'hidden.0.norm.mix.weight'
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A layer that is made in the first pass."""

    name: Literal["made_in_forward"] = "made_in_forward"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mix = None

    def forward(self, x):
        if self.mix is None:
            self.mix = nn.Linear(x.shape[1], x.shape[1], dtype=x.dtype)  # refused here
        return self.mix(x)

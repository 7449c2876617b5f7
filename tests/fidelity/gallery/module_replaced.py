"""Structure: the activation is another one after the first pass.

refused: replaces 'hidden.0.norm.act'
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The activation is another one after the first pass."""

    name: Literal["module_replaced"] = "module_replaced"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.act = nn.Tanh()

    def forward(self, x):
        y = self.act(x)
        self.act = nn.Sigmoid()  # refused here
        return y

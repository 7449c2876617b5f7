"""Containers: a layer in a plain list, which no optimizer sees.

refused: `self.layers` (a list) holds a module
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A layer in a plain list, which no optimizer sees."""

    name: Literal["module_in_list"] = "module_in_list"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.layers = [nn.Linear(features, features)]  # refused here

    def forward(self, x):
        return self.layers[0](x)

"""Containers: modules in modules.

exact: vectorized
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Modules in modules."""

    name: Literal["nested_modules"] = "nested_modules"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.body = nn.Sequential(nn.Sequential(nn.Linear(features, 4), nn.Tanh()), nn.Linear(4, features))
        self.parts = nn.ModuleDict({"scale": nn.ModuleList([nn.Linear(features, 1)])})

    def forward(self, x):
        return x.tanh() + self.body(x) * self.parts["scale"][0](x)

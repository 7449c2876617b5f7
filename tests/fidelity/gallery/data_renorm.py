"""Writes: rows of a weight get norm 1 before each use.

refused: `forward` changes the parameter
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Rows of a weight get norm 1 before each use."""

    name: Literal["data_renorm"] = "data_renorm"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.mix = nn.Linear(features, features, bias=False)

    def forward(self, x):
        with torch.no_grad():
            self.mix.weight.div_(self.mix.weight.norm(dim=1, keepdim=True))  # refused here
        return self.mix(x)

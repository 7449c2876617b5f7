"""Attributes: running statistics of the class, which all nets share.

refused: two trainings with the same seed differ
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Running statistics of the class, which all nets share."""

    name: Literal["attribute_class"] = "attribute_class"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    run = torch.zeros(8)

    def __init__(self, features):
        super().__init__()

    def forward(self, x):  # refused here
        if self.training:
            Layer.run = 0.9 * Layer.run.to(x.dtype) + 0.1 * x.detach().mean(0)
        return x - Layer.run.to(x.dtype)

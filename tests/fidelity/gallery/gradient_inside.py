"""Derivatives: a gradient inside of forward.

exact: looped
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A gradient inside of forward."""

    name: Literal["gradient_inside"] = "gradient_inside"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        with torch.enable_grad():
            y = x if x.requires_grad else x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(y.cos().sum(), y, create_graph=True)
        return slope

"""Values: Newton's iteration until it has converged.

exact: eager
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Newton's iteration until it has converged."""

    name: Literal["loop_until_close"] = "loop_until_close"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        square = x.square().mean() + 1e-3
        root = torch.ones_like(square)
        for _ in range(50):
            last, root = root, (root + square / root) / 2
            if (root - last).abs() < 1e-13:
                break
        return x / root

"""Layers of torch: nn.BatchNorm1dwith running statistics.

exact: vectorized
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.BatchNorm1dwith running statistics."""

    name: Literal["torch_batch_norm"] = "torch_batch_norm"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x):
        return self.norm(x)

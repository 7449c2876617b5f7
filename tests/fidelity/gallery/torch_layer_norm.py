"""Layers of torch: nn.LayerNorm.

exact: vectorized
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.LayerNorm."""

    name: Literal["torch_layer_norm"] = "torch_layer_norm"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LayerNorm(features)

    def forward(self, x):
        return self.norm(x)

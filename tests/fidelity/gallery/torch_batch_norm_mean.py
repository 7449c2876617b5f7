"""Layers of torch: nn.BatchNorm1d with momentum None, which reads its counter.

exact: eager
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.BatchNorm1d with momentum None, which reads its counter."""

    name: Literal["torch_batch_norm_mean"] = "torch_batch_norm_mean"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.BatchNorm1d(features, momentum=None)

    def forward(self, x):
        return self.norm(x)

"""Layers of torch: a lazy one, without shapes before the first batch.

refused: LazyBatchNorm1d
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A lazy one, without shapes before the first batch."""

    name: Literal["torch_lazy"] = "torch_lazy"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.norm = nn.LazyBatchNorm1d()  # refused here

    def forward(self, x):
        return self.norm(x)

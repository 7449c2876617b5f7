"""Caches: a dict of statistics of the last batch.

exact: vectorized
"""

from typing import Literal

from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A dict of statistics of the last batch."""

    name: Literal["cache_statistics"] = "cache_statistics"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.stats = {}

    def forward(self, x):
        self.stats["mean"], self.stats["std"] = x.detach().mean(), x.detach().std()
        return F.layer_norm(x, x.shape[1:])

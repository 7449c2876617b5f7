"""Values: a threshold that is read by tolist.

exact: eager
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A threshold that is read by tolist."""

    name: Literal["list_late"] = "list_late"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x.tanh() if max(x.detach().flatten().tolist()) < 1e6 else x / 2

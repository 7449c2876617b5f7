"""Values: the number of selected values depends on the data.

exact: eager
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The number of selected values depends on the data."""

    name: Literal["mask_selected"] = "mask_selected"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x - x[x > 0].mean()

"""Values: assignment to a Boolean mask.

exact: looped
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Assignment to a Boolean mask."""

    name: Literal["mask_assigned"] = "mask_assigned"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[y > 1] = 1.0
        return y

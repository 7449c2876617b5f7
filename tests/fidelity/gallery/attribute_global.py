"""Attributes: a dict of the file keeps the last mean.

refused: two trainings with the same seed differ
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization

STASH = {}


@NORMS.add
class Mine(Normalization):
    """A dict of the file keeps the last mean."""

    name: Literal["attribute_global"] = "attribute_global"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()

    def forward(self, x):  # refused here
        prev = STASH.get("x")
        STASH["x"] = x.detach().mean(0)
        return x - (0 if prev is None else 0.1 * prev)

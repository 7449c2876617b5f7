from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Own(Normalization):
    """A layer of one's own."""

    name: Literal["own"] = "own"

    def module(self, features: int) -> nn.Module:
        return nn.LayerNorm(features)

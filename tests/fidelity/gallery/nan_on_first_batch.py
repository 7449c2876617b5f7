"""Numbers: NaN on the first batch.

refused: returns NaN or infinity on its first batch
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """NaN on the first batch."""

    name: Literal["nan_on_first_batch"] = "nan_on_first_batch"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.sqrt()

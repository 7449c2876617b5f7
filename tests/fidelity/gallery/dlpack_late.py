"""Values: a threshold that is read through dlpack.

exact: eager
"""

from typing import Literal

import numpy as np
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A threshold that is read through dlpack."""

    name: Literal["dlpack_late"] = "dlpack_late"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        return x.tanh() if np.from_dlpack(x.detach()).max() < 1e6 else x / 2

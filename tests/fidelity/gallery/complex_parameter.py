"""Types: a complex parameter, which the conversion to a real dtype would cut.

refused: complex
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A complex parameter, which the conversion to a real dtype would cut."""

    name: Literal["complex_parameter"] = "complex_parameter"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features, dtype=torch.complex64))  # refused here

    def forward(self, x):
        return (x * self.gain).abs()

"""Types: a filter in the frequencies.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A filter in the frequencies."""

    name: Literal["complex_inside"] = "complex_inside"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.filter = nn.Parameter(torch.ones(features // 2 + 1))

    def forward(self, x):
        return torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=x.shape[1])

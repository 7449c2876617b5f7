"""Errors: the layer leaves Python.

refused: SystemExit: bye
"""

import sys
from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The layer leaves Python."""

    name: Literal["raises_exit"] = "raises_exit"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()

    def forward(self, x):
        sys.exit("bye")  # refused here

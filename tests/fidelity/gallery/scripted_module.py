"""Compilers: a module under torch.jit.script, whose tensors cannot be replaced.

refused: is a module of torch.jit
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A module under torch.jit.script, whose tensors cannot be replaced."""

    name: Literal["scripted_module"] = "scripted_module"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.inner = torch.jit.script(nn.Linear(features, features))  # refused here

    def forward(self, x):
        return self.inner(x)

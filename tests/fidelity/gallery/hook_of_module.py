"""Hooks: a full backward hook halves the gradient.

exact: looped
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A full backward hook halves the gradient."""

    name: Literal["hook_of_module"] = "hook_of_module"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.act = nn.Tanh()
        self.act.register_full_backward_hook(lambda module, ours, theirs: (ours[0] / 2,))

    def forward(self, x):
        return self.act(x)

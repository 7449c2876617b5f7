"""Hooks: gradients are clipped by a hook that acts rarely.

exact: looped
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Gradients are clipped by a hook that acts rarely."""

    name: Literal["hook_late"] = "hook_late"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):
        y = x.tanh()
        if y.requires_grad:
            y.register_hook(lambda grad: grad.clamp(-100, 100))
        return y

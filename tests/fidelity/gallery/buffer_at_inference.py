"""Buffers: a running mean that the test images update too.

refused: changes the buffer 'hidden.0.norm.running' at inference
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A running mean that the test images update too."""

    name: Literal["buffer_at_inference"] = "buffer_at_inference"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("running", torch.zeros(features))

    def forward(self, x):
        self.running.mul_(0.9).add_(0.1 * x.detach().mean(0))  # refused here
        return x - self.running

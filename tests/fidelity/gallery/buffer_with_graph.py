"""Buffers: a running mean that keeps the graph of the last step.

refused: a second time
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A running mean that keeps the graph of the last step."""

    name: Literal["buffer_with_graph"] = "buffer_with_graph"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("running", torch.zeros(features))

    def forward(self, x):  # refused here
        if self.training:
            self.running = 0.9 * self.running + 0.1 * x.square().mean(0)
        return x - self.running

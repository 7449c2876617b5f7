"""Buffers: a memory of all batches that grows.

refused: changes the shape or dtype of the buffer 'hidden.0.norm.bank'
"""

from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """A memory of all batches that grows."""

    name: Literal["buffer_grows"] = "buffer_grows"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.register_buffer("bank", torch.zeros(1, features))

    def forward(self, x):
        if self.training:
            self.bank = torch.cat([self.bank, x.detach().mean(0, keepdim=True)])  # refused here
        return x - self.bank.mean(0)

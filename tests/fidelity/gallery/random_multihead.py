"""Randomness: the dropout of nn.MultiheadAttention.

refused: , in MultiheadAttention, draws random numbers of torch
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The dropout of nn.MultiheadAttention."""

    name: Literal["random_multihead"] = "random_multihead"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.attend = nn.MultiheadAttention(features, 2, dropout=0.5)

    def forward(self, x):  # refused here
        q = x.unsqueeze(1)
        return self.attend(q, q, q)[0].squeeze(1)

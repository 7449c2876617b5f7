"""Randomness: the dropout of scaled_dot_product_attention.

refused: draws random numbers of torch
"""

from typing import Literal

from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The dropout of scaled_dot_product_attention."""

    name: Literal["random_attention"] = "random_attention"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        q = x.unsqueeze(0)
        rate = 0.5 if self.training else 0.0
        return x + F.scaled_dot_product_attention(q, q, q, dropout_p=rate).squeeze(0)

"""Models: a small vision transformer with nn.MultiheadAttention.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn

from normbench.models import MODELS, Model


@MODELS.add
class Tiny(Model):
    """Vision transformer with patches of 4x4 pixels."""

    name: Literal["model_attention"] = "model_attention"
    width: int = 8

    def assemble(self, input_shape, classes):
        return Net(self, input_shape, classes)


class Net(nn.Module):
    def __init__(self, options, input_shape, classes):
        super().__init__()
        channels, height, width = input_shape
        size = options.width
        self.patches = nn.Conv2d(channels, size, 4, stride=4)
        self.place = nn.Parameter(0.02 * torch.randn(1, height * width // 16, size))
        self.norm = nn.LayerNorm(size)
        self.attend = nn.MultiheadAttention(size, 2, batch_first=True)
        self.grow = options.norm.wrap(nn.Linear(size, 2 * size))
        self.act = options.activate()
        self.head = options.norm.wrap_classifier(nn.Linear(2 * size, classes))

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.place
        seen = self.norm(tokens)
        tokens = tokens + self.attend(seen, seen, seen, need_weights=False)[0]
        return self.head(self.act(self.grow(tokens)).mean(1))

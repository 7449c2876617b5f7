"""Models: tied weights, a layer used twice, a ParameterList.

exact: vectorized
"""

import math
from typing import Literal

import torch
from torch import nn

from normbench.models import MODELS, Model


@MODELS.add
class Tied(Model):
    """All hidden layers share one weight."""

    name: Literal["model_tied"] = "model_tied"

    def assemble(self, input_shape, classes):
        return Net(math.prod(input_shape), classes)


class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.first, same = nn.Linear(inputs, 8), nn.Linear(8, 8)
        self.hidden = nn.ModuleList([same, same, nn.Linear(8, 8)])
        self.hidden[2].weight = same.weight
        self.gains = nn.ParameterList([torch.ones(8) for _ in range(3)])
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        x = self.first(x.flatten(1))
        for layer, gain in zip(self.hidden, self.gains, strict=True):
            x = torch.tanh(layer(x) * gain)
        return self.head(x)

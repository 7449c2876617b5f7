"""Models: one that keeps the dropout rate as a number, in which the runs of a stack may differ.

refused: `self.share` differs between two runs of a stack
dropout: 0.5
"""

import math
from typing import Literal

from torch import nn

from normbench.models import MODELS, Model
from normbench.nn.layers import Noisy


@MODELS.add
class Rated(Model):
    """One linear layer on images with dropout."""

    name: Literal["model_rate"] = "model_rate"

    def assemble(self, input_shape, classes):
        return nn.Sequential(
            nn.Flatten(), Drop(self.dropout.rate), nn.Linear(math.prod(input_shape), classes)
        )


class Drop(Noisy):
    def __init__(self, rate):
        super().__init__()
        self.share = rate  # refused here

    def forward(self, x):
        return x * (self.uniform(x) >= self.share) if self.training else x

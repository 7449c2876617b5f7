"""Models: one that scales the images in place.

refused: changes the images that it gets in place
"""

import math
from typing import Literal

from torch import nn

from normbench.models import MODELS, Model


@MODELS.add
class Scaling(Model):
    """One linear layer on scaled images."""

    name: Literal["model_changes_images"] = "model_changes_images"

    def assemble(self, input_shape, classes):
        return Net(math.prod(input_shape), classes)


class Net(nn.Module):
    def __init__(self, inputs, classes):
        super().__init__()
        self.head = nn.Linear(inputs, classes)

    def forward(self, x):  # refused here
        x = x.flatten(1)
        x *= 0.5
        return self.head(x)

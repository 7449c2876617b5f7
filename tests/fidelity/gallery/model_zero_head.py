"""Models: weights by trunc_normal_ and a head of zeros, which `model.init` must leave alone.

exact: vectorized
"""

import math
from typing import Literal

from torch import nn

from normbench.models import MODELS, Model


@MODELS.add
class ZeroHead(Model):
    """Two layers with initial weights of their own."""

    name: Literal["model_zero_head"] = "model_zero_head"

    def assemble(self, input_shape, classes):
        body, head = nn.Linear(math.prod(input_shape), 8), nn.Linear(8, classes)
        nn.init.trunc_normal_(body.weight, std=0.02)
        nn.init.constant_(body.bias, 0.1)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        return nn.Sequential(nn.Flatten(), body, self.activate(), head)

"""Models: one that ignores `model.norm`, swept over two normalizations.

refused: model.norm: 'model_without_norm' trains the same net
"""

import math
from typing import Literal

from torch import nn

from normbench.models import MODELS, Model


@MODELS.add
class Plain(Model):
    """Two layers without a normalization."""

    name: Literal["model_without_norm"] = "model_without_norm"

    def assemble(self, input_shape, classes):  # refused here
        return nn.Sequential(
            nn.Flatten(), nn.Linear(math.prod(input_shape), 8), self.activate(), nn.Linear(8, classes)
        )

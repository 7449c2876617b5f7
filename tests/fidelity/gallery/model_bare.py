"""Models: bare nn.Linear without an activation.

exact: vectorized
"""

import math
from typing import Literal

from torch import nn

from normbench.models import MODELS, Model


@MODELS.add
class Bare(Model):
    """One linear layer."""

    name: Literal["model_bare"] = "model_bare"

    def assemble(self, input_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), classes))

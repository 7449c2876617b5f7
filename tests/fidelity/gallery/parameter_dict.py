"""Containers: nn.ParameterDict.

exact: vectorized
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.ParameterDict."""

    name: Literal["parameter_dict"] = "parameter_dict"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.parts = nn.ParameterDict({"gain": torch.ones(features), "offset": torch.zeros(features)})

    def forward(self, x):
        return F.layer_norm(x, x.shape[1:]) * self.parts["gain"] + self.parts["offset"]

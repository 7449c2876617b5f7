"""A normalization that a user could write: it subtracts a running mean, kept in a buffer."""

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Centered(Normalization):
    """Centering: y = g (x - m), where m moves towards the mean of each batch."""

    name: Literal["centered"] = "centered"
    keep: float = Field(0.9, ge=0, lt=1, description="weight of the old mean")

    def module(self, features):
        return CenteredLayer(features, self.keep)


class CenteredLayer(nn.Module):
    def __init__(self, features, keep):
        super().__init__()
        self.keep = keep
        self.gain = nn.Parameter(torch.ones(features))
        self.register_buffer("mean", torch.zeros(features))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.mul_(self.keep).add_(x.mean(0), alpha=1 - self.keep)
        return (x - self.mean) * self.gain

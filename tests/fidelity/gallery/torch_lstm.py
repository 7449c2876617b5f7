"""Layers of torch: nn.LSTM over the features.

exact: looped
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Nn.LSTM over the features."""

    name: Literal["torch_lstm"] = "torch_lstm"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.cell = nn.LSTM(1, 1, batch_first=True)

    def forward(self, x):
        return self.cell(x.unsqueeze(2))[0].squeeze(2)

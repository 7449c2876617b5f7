"""Writes: the layer changes its input, which is the batch of images.

refused: changes the images that it gets in place
position: layer_input
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The layer changes its input, which is the batch of images."""

    name: Literal["changes_images"] = "changes_images"

    def module(self, features):
        return Layer()


class Layer(nn.Module):
    def forward(self, x):  # refused here
        return x.sub_(0.1)

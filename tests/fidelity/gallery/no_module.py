"""Errors: the layer is no nn.Module.

refused: is not a Module subclass
"""

from typing import Literal

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The layer is no nn.Module."""

    name: Literal["no_module"] = "no_module"

    def module(self, features):  # refused here
        return Layer(features)


class Layer:
    def __init__(self, features):
        pass

    def __call__(self, x):
        return x

"""Parametrizations: the older weight_norm, by a hook.

exact: vectorized
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The older weight_norm, by a hook."""

    name: Literal["hooked_weight_norm"] = "hooked_weight_norm"

    def wrap(self, layer):
        return nn.utils.weight_norm(layer)

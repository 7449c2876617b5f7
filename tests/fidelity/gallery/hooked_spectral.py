"""Parametrizations: the older spectral_norm, by a hook.

exact: looped
"""

from typing import Literal

from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """The older spectral_norm, by a hook."""

    name: Literal["hooked_spectral"] = "hooked_spectral"

    def wrap(self, layer):
        return nn.utils.spectral_norm(layer)

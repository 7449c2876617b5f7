"""Parametrizations: spectral_norm of torch, with a power iteration in each step.

exact: looped
"""

from typing import Literal

from torch.nn.utils import parametrizations

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Spectral_norm of torch, with a power iteration in each step."""

    name: Literal["parametrized_spectral"] = "parametrized_spectral"

    def wrap(self, layer):
        return parametrizations.spectral_norm(layer)

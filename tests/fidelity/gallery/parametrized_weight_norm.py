"""Parametrizations: weight_norm of torch.

exact: vectorized
"""

from typing import Literal

from torch.nn.utils import parametrizations

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Weight_norm of torch."""

    name: Literal["parametrized_weight_norm"] = "parametrized_weight_norm"

    def wrap(self, layer):
        return parametrizations.weight_norm(layer)

"""Parametrizations: orthogonal of torch.

exact: vectorized
"""

from typing import Literal

from torch.nn.utils import parametrizations

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Orthogonal of torch."""

    name: Literal["parametrized_orthogonal"] = "parametrized_orthogonal"

    def wrap(self, layer):
        return parametrizations.orthogonal(layer, orthogonal_map="cayley")

"""Parametrizations: pruning by a hook, with the mask as a buffer.

exact: vectorized
"""

from typing import Literal

from torch.nn.utils import prune

from normbench.norms import NORMS, Normalization


@NORMS.add
class Mine(Normalization):
    """Pruning by a hook, with the mask as a buffer."""

    name: Literal["hooked_pruning"] = "hooked_pruning"

    def wrap(self, layer):
        return prune.random_unstructured(layer, "weight", 0.3)

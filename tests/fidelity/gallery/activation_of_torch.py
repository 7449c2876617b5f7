"""Activations: nn.PReLU by its own name.

exact: vectorized
"""

from torch import nn

from normbench.nn.layers import ACTIVATIONS


@ACTIVATIONS.add("activation_of_torch")
class Learned(nn.PReLU):
    """PReLU of torch."""

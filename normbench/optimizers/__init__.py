"""The optimizers. To add one, write its file in this folder, import it here and add it to `OPTIMIZERS`."""

from __future__ import annotations

from normbench.optimizers.adam import Adam, AdamW
from normbench.optimizers.base import Optimizer
from normbench.optimizers.rmsprop import RMSprop
from normbench.optimizers.sgd import SGD
from normbench.registry import Registry

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", SGD, Adam, AdamW, RMSprop)

__all__ = ["OPTIMIZERS", "Optimizer"]

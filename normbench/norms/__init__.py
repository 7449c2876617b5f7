"""The normalizations. To add one: write its file beside this one, import it, name it in `NORMS`."""

from __future__ import annotations

from normbench.norms.base import Normalization
from normbench.norms.batchnorm import BatchNorm
from normbench.norms.layernorm import LayerNorm
from normbench.norms.mean_only_batchnorm import MeanOnlyBatchNorm, WeightNormMeanOnlyBatchNorm
from normbench.norms.none import NoNorm
from normbench.norms.selu import Selu
from normbench.norms.weightnorm import WeightNorm
from normbench.options import Registry

NORMS: Registry[Normalization] = Registry(
    "normalization",
    NoNorm,
    BatchNorm,
    LayerNorm,
    WeightNorm,
    MeanOnlyBatchNorm,
    WeightNormMeanOnlyBatchNorm,
    Selu,
)

__all__ = ["NORMS", "Normalization"]

"""The normalizations. To add one, write its file in this folder, import it here and add it to `NORMS`."""

from __future__ import annotations

from normbench.norms.base import Normalization
from normbench.norms.batch_renorm import BatchRenorm
from normbench.norms.batchnorm import BatchNorm
from normbench.norms.dynamic_tanh import DynamicTanh
from normbench.norms.fixup import Fixup
from normbench.norms.groupnorm import GroupNorm
from normbench.norms.instancenorm import InstanceNorm
from normbench.norms.layernorm import LayerNorm
from normbench.norms.mean_only_batchnorm import MeanOnlyBatchNorm, WeightNormMeanOnlyBatchNorm
from normbench.norms.none import NoNorm
from normbench.norms.rmsnorm import RMSNorm
from normbench.norms.scaled_weight_standardization import ScaledWeightStandardization
from normbench.norms.selu import Selu
from normbench.norms.weight_standardization import WeightStandardization
from normbench.norms.weightnorm import WeightNorm
from normbench.norms.whitening import Whitening
from normbench.norms.whitening_newton import WhiteningNewton
from normbench.registry import Registry

NORMS: Registry[Normalization] = Registry(
    "normalization",
    NoNorm,
    BatchNorm,
    LayerNorm,
    WeightNorm,
    MeanOnlyBatchNorm,
    WeightNormMeanOnlyBatchNorm,
    Selu,
    GroupNorm,
    InstanceNorm,
    RMSNorm,
    BatchRenorm,
    WeightStandardization,
    ScaledWeightStandardization,
    Whitening,
    WhiteningNewton,
    DynamicTanh,
    Fixup,
)

__all__ = ["NORMS", "Normalization"]

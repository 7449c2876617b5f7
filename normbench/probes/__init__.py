"""What is measured inside a net. To add a probe: write its file, import it, name it in `PROBES`."""

from __future__ import annotations

from normbench.names import NET
from normbench.probes.activations import Activations
from normbench.probes.base import Probe, Values
from normbench.probes.cost import Cost
from normbench.probes.forgetting import Forgetting
from normbench.probes.gradient_noise import GradientNoise
from normbench.probes.gradients import Gradients
from normbench.probes.ics import ICS
from normbench.probes.landscape import Landscape
from normbench.probes.myopia import Myopia
from normbench.probes.perturbation import Perturbation
from normbench.probes.quantity import Quantity
from normbench.probes.sharpness import Sharpness
from normbench.probes.step_parts import StepParts
from normbench.probes.variance_shift import VarianceShift
from normbench.probes.view import OneBatch, RunView
from normbench.probes.weights import Weights
from normbench.registry import Registry

PROBES: Registry[Probe] = Registry(
    "probe",
    Activations,
    Gradients,
    Weights,
    ICS,
    Landscape,
    Sharpness,
    VarianceShift,
    Forgetting,
    Myopia,
    Perturbation,
    GradientNoise,
    Cost,
)


def quantity(name: str) -> Quantity | None:
    """Return the declaration of a quantity, named as in layers.csv; None if no probe declares it."""
    probe = PROBES.entries.get(name.partition(".")[0])
    return next((one for one in probe.quantities if one.covers(name)), None) if probe else None


__all__ = [
    "NET",
    "PROBES",
    "OneBatch",
    "Probe",
    "Quantity",
    "RunView",
    "StepParts",
    "Values",
    "quantity",
]

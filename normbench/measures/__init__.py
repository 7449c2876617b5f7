"""What a claim can measure. To add a measure: write its file, import it, name it in `MEASURES`."""

from __future__ import annotations

from normbench.measures.base import Measure, Rows, RunMeasure, Sample
from normbench.measures.best import BestAccuracy, BestLoss
from normbench.measures.decades_of_rates import DecadesOfRates
from normbench.measures.final import FinalAccuracy, FinalLoss
from normbench.measures.generalisation_gap import GeneralizationGap
from normbench.measures.inference_gap import InferenceGap
from normbench.measures.largest_rate_without_divergence import LargestRateWithoutDivergence
from normbench.measures.lr_sensitivity import LrSensitivity
from normbench.measures.max_stable_lr import MaxStableLr
from normbench.measures.probe import ProbedQuantity
from normbench.measures.seconds_per_step import SecondsPerStep
from normbench.measures.seconds_to_target import SecondsToTarget
from normbench.measures.share_that_trains import ShareThatTrains
from normbench.measures.steps_to_target import StepsToTarget
from normbench.registry import Registry

MEASURES: Registry[Measure] = Registry(
    "measure",
    MaxStableLr,
    LargestRateWithoutDivergence,
    DecadesOfRates,
    ShareThatTrains,
    LrSensitivity,
    StepsToTarget,
    FinalAccuracy,
    FinalLoss,
    BestAccuracy,
    BestLoss,
    GeneralizationGap,
    InferenceGap,
    SecondsPerStep,
    SecondsToTarget,
    ProbedQuantity,
)

__all__ = ["MEASURES", "Measure", "Rows", "RunMeasure", "Sample"]

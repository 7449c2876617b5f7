"""Counts what a lane of a stack still has to compute, when runs have left and lanes could be dropped.

Fewer lanes compute less. But their programs must first be recorded, which takes as long as a few hundred
steps of one small net. The rule between the two knows no clock: a training that was interrupted goes on with
as many lanes as one that was not. The numbers of a run are the same either way.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normbench.data import Dataset
from normbench.engine.evaluation import Evaluator
from normbench.engine.probing import Probing
from normbench.planning.net_cost import net_cost

if TYPE_CHECKING:
    from normbench.config import Settings

# A number that a layer outputs takes as long as this many FLOPs of a matrix product: its element-wise
# operations in a training step; at inference, a third (benchmarks/narrowing.py).
ELEMENT_FLOPS = 100


@dataclass(frozen=True)
class WorkLeft:
    """What a lane computes until the end of the training.

    Attributes:
        flops: of training steps, evaluations and probes, with other operations converted into FLOPs.
        layers: those with weights in the net, for which programs are recorded.
    """

    flops: float
    layers: int

    @classmethod
    def of(
        cls, settings: Settings, dataset: Dataset, step: int, evaluator: Evaluator, probing: Probing
    ) -> WorkLeft:
        """Return what is left after so many steps.

        Args:
            settings: of a run of the stack.
            dataset: the images.
            step: number of updates made so far.
            evaluator: knows the images of each evaluation.
            probing: knows what is measured when.
        """
        train = settings.train
        net = net_cost(settings.model, dataset.input_shape, dataset.classes)
        evaluations = len(train.evaluation_steps) - bisect_right(train.evaluation_steps, step)
        images = (evaluations - 1) * evaluator.images(last=False) + evaluator.images(last=True)
        steps = train.steps - step + probing.steps_from(step)
        elements = ELEMENT_FLOPS * net.activations
        flops = steps * settings.data.batch_size * (net.train_flops + elements)
        if evaluations:
            flops += images * (net.forward_flops + elements / 3)
        return cls(flops, net.layers)

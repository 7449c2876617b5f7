"""Whether the update of a layer helps the present batch only."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from normbench.data import dataset_info
from normbench.errors import DataError
from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView


class Myopia(Probe):
    """Fall of the loss on the present batch and on other batches when one layer alone makes the update.

    The update is the coming one, computed from the coming batch. The other batches are those of the next
    steps. Within an epoch they share no image with the coming one; across its end they may share a few.
    """

    name: Literal["myopia"] = "myopia"
    others: int = Field(1, ge=1, le=1000, description="number of other batches to average over")

    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "myopia.here",
            "fall of the loss on this batch",
            "L(θ) - L(θ with W_i + d_i)",
            unit="nats",
        ),
        Quantity(
            "myopia.elsewhere",
            "fall of the loss on other batches",
            "L'(θ) - L'(θ with W_i + d_i), the mean over the other batches, with their losses L'",
            unit="nats",
        ),
        Quantity(
            "myopia.share",
            "share of the fall that other batches lack",
            "1 - elsewhere / here: 0 if the update helps all batches alike, 1 if this one alone, above 1 if "
            "it harms the others; unsteady where `here` is near 0",
            unit="ratio",
        ),
    )

    def looks_at(self, step: int) -> list[int]:
        """Return the coming batch and the others."""
        return list(range(step, step + self.others + 1))

    def refuses(self, net: nn.Module, settings: Any) -> str | None:
        """Refuse epochs that are too short for other batches."""
        needed = (self.others + 1) * settings.data.batch_size
        with suppress(DataError, OSError):  # the files may lie in a folder that is not known here
            images = dataset_info(settings.data).train
            if needed > images:
                return (
                    f"{self.others + 1} batches of {settings.data.batch_size} need {needed} training images, "
                    f"and there are {images}: other batches would hold the images of this one"
                )
        return None

    def cost(self, net: nn.Module) -> float:
        """Return the cost of a step, and of a forward pass for each layer and batch."""
        return 1 + 0.4 * (self.others + self.depth(net) * (1 + self.others))

    def measure(self, run: RunView) -> Values:
        """Return the numbers of each layer."""
        others = [run.batches[step] for step in self.looks_at(run.step)[1:]]
        here, elsewhere = run.loss_now, [run.loss(batch=batch) for batch in others]
        values: Values = {}
        for layer, names in run.layers.items():
            moved = {name: run.updated[name] for name in names}
            fall = here - run.loss(moved)
            falls = [before - run.loss(moved, batch) for before, batch in zip(elsewhere, others, strict=True)]
            mean = torch.stack(falls).mean(0)
            values[layer, "myopia.here"] = fall
            values[layer, "myopia.elsewhere"] = mean
            values[layer, "myopia.share"] = 1 - mean / fall
        return values

"""What each run of a stack sees at a step: its batch, its augmentation, its dropout numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from normbench.data import Augment, Batches, Dataset, augment_batch
from normbench.engine.executor import Batch
from normbench.models.init import as_trained
from normbench.nn.layers import Noisy
from normbench.seeding import generator


def noise_shapes(model: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape of the numbers that each noisy layer of a net draws for one batch, by its place."""
    shapes: dict[str, tuple[int, ...]] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, Noisy)
        shapes[module.place] = module.draws(inputs[0].shape)

    hooks = [m.register_forward_pre_hook(record) for m in model.modules() if isinstance(m, Noisy)]
    if hooks:
        with torch.no_grad(), as_trained(model):  # at inference a sequence may be longer
            model(x)
    for hook in hooks:
        hook.remove()
    return shapes


class Feed:
    """Draws the batches of all seeds of a stack. What a seed sees depends on that seed and the step alone.

    Runs of one seed see the same images, and where only one seed is left all runs share one tensor.
    """

    def __init__(
        self,
        dataset: Dataset,
        seeds: Sequence[int],
        batch_size: int,
        augment: Augment,
        places: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.dataset, self.augment, self.places = dataset, augment, places
        x = dataset.train.x
        self._batches = {seed: Batches(seed, len(x), batch_size, x.device) for seed in dict.fromkeys(seeds)}
        self.steps_per_epoch = len(x) // batch_size

    def images(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return x (B, C, H, W) and y (B,) of this seed's batch for the update number `step` (from 0)."""
        index = self._batches[seed].indices(step)
        x = self.dataset.train.x.index_select(0, index)
        return augment_batch(x, self.augment, seed, step), self.dataset.train.y.index_select(0, index)

    def numbers(self, seed: int, step: int) -> dict[str, Tensor]:
        """Return this seed's uniform numbers for each noisy layer."""
        x = self.dataset.train.x
        return {
            place: torch.rand(shape, generator=generator(seed, "noise", step, place)).to(x.device, x.dtype)
            for place, shape in self.places.items()
        }

    def batch(self, seeds: Sequence[int], step: int) -> Batch:
        """Return the batch of a step for the runs with these seeds, in the order of the lanes."""
        unique = list(dict.fromkeys(seeds))
        drawn = [(*self.images(seed, step), self.numbers(seed, step)) for seed in unique]
        if len(unique) == 1:
            return Batch(*drawn[0], shared=True)
        position = {seed: index for index, seed in enumerate(unique)}
        lanes = torch.tensor([position[seed] for seed in seeds], device=drawn[0][0].device)

        def gather(tensors: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(tensors)).index_select(0, lanes)

        xs, ys, numbers = zip(*drawn, strict=True)
        noise = {place: gather([one[place] for one in numbers]) for place in self.places}
        return Batch(gather(xs), gather(ys), noise, shared=False)

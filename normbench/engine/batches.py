"""What each run of a stack sees at a step: its images, augmented, its labels, and its dropout numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.data import Augment, Batches, Dataset, augment_batch
from normbench.engine.state import part
from normbench.engine.step import Data
from normbench.models.init import as_trained
from normbench.nn.layers import Noisy
from normbench.seeding import generator


@dataclass(frozen=True)
class Batch:
    """The inputs of one step of a stack.

    Attributes:
        x: images, (B, ...) if `shared`, otherwise (R, B, ...).
        y: labels, (B,) or (R, B).
        noise: uniform numbers for each noisy layer by its place, (...) or (R, ...).
        shared: whether all runs see the same batch, which then has no run axis.
    """

    x: Tensor
    y: Tensor
    noise: Mapping[str, Tensor]
    shared: bool

    @property
    def data(self) -> Data:
        """Return x, y and noise."""
        return self.x, self.y, dict(self.noise)

    def of(self, lane: int) -> Batch:
        """Return the batch of one run, without a run axis."""
        if self.shared:
            return self
        return Batch(self.x[lane], self.y[lane], part(self.noise, lane), True)

    def lanes(self, lanes: slice) -> Batch:
        """Return the batches of these lanes."""
        if self.shared:
            return self
        return Batch(self.x[lanes], self.y[lanes], part(self.noise, lanes), False)


class BatchSampler:
    """Draws the batches of all seeds of a stack. A batch depends only on its seed and its step.

    Runs of the same seed see the same images. If all runs have the same seed, they share one tensor.

    Args:
        dataset: supplies the training images.
        seeds: of the runs; repeated ones count once.
        batch_size: images in a batch.
        augment: random changes of the training images.

    Attributes:
        noise_shapes: the shape of the numbers that each noisy layer draws, by its place. It is set after the
            first net was built, because that may need the first images.
        steps_per_epoch: number of complete batches in an epoch.
    """

    noise_shapes: Mapping[str, tuple[int, ...]]

    def __init__(self, dataset: Dataset, seeds: Sequence[int], batch_size: int, augment: Augment) -> None:
        self.dataset, self.augment, self.noise_shapes = dataset, augment, {}
        x = dataset.train.x
        self._batches = {seed: Batches(seed, len(x), batch_size, x.device) for seed in dict.fromkeys(seeds)}
        self.steps_per_epoch = len(x) // batch_size

    def images(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return x (B, C, H, W) and y (B,) of this seed for step number `step`, counted from 0."""
        index = self._batches[seed].indices(step)
        x = self.dataset.train.x.index_select(0, index)
        return augment_batch(x, self.augment, seed, step), self.dataset.train.y.index_select(0, index)

    def numbers(self, seed: int, step: int) -> dict[str, Tensor]:
        """Return the uniform numbers of this seed for each noisy layer."""
        x = self.dataset.train.x
        return {
            place: torch.rand(shape, generator=generator(seed, "noise", step, place)).to(x.device, x.dtype)
            for place, shape in self.noise_shapes.items()
        }

    def batch(self, seeds: Sequence[int], step: int) -> Batch:
        """Return the batch of a step for runs with these seeds, in the order of the lanes."""
        unique = list(dict.fromkeys(seeds))
        drawn = [(*self.images(seed, step), self.numbers(seed, step)) for seed in unique]
        if len(unique) == 1:
            return Batch(*drawn[0], shared=True)
        position = {seed: index for index, seed in enumerate(unique)}
        lanes = torch.tensor([position[seed] for seed in seeds], device=drawn[0][0].device)

        def gather(tensors: Sequence[Tensor]) -> Tensor:
            return torch.stack(list(tensors)).index_select(0, lanes)

        xs, ys, numbers = zip(*drawn, strict=True)
        noise = {place: gather([one[place] for one in numbers]) for place in self.noise_shapes}
        return Batch(gather(xs), gather(ys), noise, shared=False)


def noise_shapes(model: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """Return the shape of the numbers that each noisy layer draws for a batch like x, by its place."""
    shapes: dict[str, tuple[int, ...]] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(module, Noisy)
        shapes[module.place] = module.draws(inputs[0].shape)

    hooks = [m.register_forward_pre_hook(record) for m in model.modules() if isinstance(m, Noisy)]
    if hooks:
        with torch.no_grad(), as_trained(model):  # a recurrent net may take more steps at inference
            model(x)
    for hook in hooks:
        hook.remove()
    return shapes

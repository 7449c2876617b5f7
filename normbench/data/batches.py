"""The images of each batch: a new order in every epoch, which depends only on the seed of the run."""

from __future__ import annotations

import torch
from torch import Tensor

from normbench import seeding
from normbench.errors import DataError

# Most images in one evaluation batch, unless `train.eval_batch_size` says otherwise. It is the same for every
# stack: another division of the images would round their mean differently, and results must not depend on the
# size of the stack.
EVAL_ROWS = 256


def inference_rows(images: int, batch_size: int | None) -> int:
    """Return how many images are in a batch at inference; the last batch of a part has what is left.

    Args:
        images: number of images in the part.
        batch_size: `train.eval_batch_size`; None for batches of equal size, because each size needs a trace.
    """
    return batch_size or -(-images // max(1, -(-images // EVAL_ROWS)))


def batch_order(seed: int, epoch: int, n: int) -> Tensor:
    """Return the order of the n training images in one epoch, int64 (n,)."""
    return torch.randperm(n, generator=seeding.generator(seed, "order", epoch))


class Batches:
    """The batches of one seed by step, from 0. The incomplete last batch of an epoch is dropped.

    The order of one epoch is kept, so that consecutive steps only take slices of it.

    Args:
        seed: seed of the run.
        n: number of training images.
        batch_size: images per batch, at most n.
        device: device of the indices.

    Raises:
        DataError: the batch size does not fit.
    """

    def __init__(self, seed: int, n: int, batch_size: int, device: str | torch.device = "cpu") -> None:
        if not 1 <= batch_size <= n:
            raise DataError(
                f"data.batch_size: {batch_size} does not fit {n} training images; allowed: 1 to {n}"
            )
        self.seed = seed
        self.n = n
        self.batch_size = batch_size
        self.device = device
        self.steps_per_epoch = n // batch_size
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> Tensor:
        """Return the indices of the images at this step, int64 (batch_size,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = batch_order(self.seed, epoch, self.n).to(self.device)
            self._epoch = epoch
        return self._order[place * self.batch_size : (place + 1) * self.batch_size]

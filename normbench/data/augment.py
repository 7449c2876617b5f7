"""Augmentation on tensors: pad-crop, flip and noise of a whole batch at once, drawn from the run's seed.

The draws of a step depend on (seed, step) and the batch's size alone, so that runs of one seed see the
same images, and a resumed run the same as one that was never stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from normbench import seeding
from normbench.registry import Options


class Augment(Options):
    """Changes of the training images; by default none."""

    pad: int = Field(0, ge=0, description="pixels added on each side before a random crop to the old size")
    flip: bool = Field(False, description="mirror left and right with probability 1/2")
    noise: float = Field(0.0, ge=0, description="standard deviation of Gaussian noise added to each input")

    late: ClassVar[frozenset[str]] = frozenset({"noise"})

    @property
    def active(self) -> bool:
        """Say whether anything is changed at all."""
        return self.pad > 0 or self.flip or self.noise > 0


@dataclass(frozen=True)
class Draws:
    """The choices for one batch, each (B,): the crop's offsets in 0..2 pad, and which images are mirrored."""

    top: Tensor
    left: Tensor
    flip: Tensor


def draw(options: Augment, seed: int, step: int, batch: int) -> Draws:
    """Draw a batch's changes from (seed, "augment", step); an option does not move the other one's draws."""
    generator = seeding.generator(seed, "augment", step)
    uniform = torch.rand(3, batch, generator=generator, dtype=torch.float64)
    offsets = (uniform[:2] * (2 * options.pad + 1)).long()  # (2, B)
    return Draws(offsets[0], offsets[1], (uniform[2] < 0.5) & options.flip)


def apply(x: Tensor, draws: Draws, pad: int) -> Tensor:
    """Return the batch (B, C, H, W) cropped and mirrored; the border is 0: the mean, once standardised."""
    batch, _, height, width = x.shape
    rows = torch.arange(height)[None] + draws.top[:, None]  # (B, H)
    columns = torch.arange(width)[None].expand(batch, width)
    columns = torch.where(draws.flip[:, None], width - 1 - columns, columns) + draws.left[:, None]  # (B, W)
    rows, columns = rows.to(x.device), columns.to(x.device)
    padded = torch.nn.functional.pad(x, (pad, pad, pad, pad)) if pad else x
    images = torch.arange(batch, device=x.device)[:, None, None]
    picked = padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]]  # (B, H, W, C)
    return picked.permute(0, 3, 1, 2).contiguous()


def augment_batch(x: Tensor, options: Augment, seed: int, step: int) -> Tensor:
    """Return the batch (B, C, H, W) as the run of this seed sees it at this step."""
    if options.pad or options.flip:
        x = apply(x, draw(options, seed, step, len(x)), options.pad)
    if options.noise:
        generator = seeding.generator(seed, "input_noise", step)
        numbers = torch.randn(x.shape, generator=generator)
        x = torch.add(x, numbers.to(x.device, x.dtype), alpha=options.noise)
    return x

"""Augmentation of whole batches: crop after padding, flip and noise, drawn from the seed of the run.

The draws of a step depend only on (seed, step) and the size of the batch. Runs with the same seed therefore
see the same images, and a resumed run sees the same images as an uninterrupted one.
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
    """Random changes of the training images; none by default."""

    pad: int = Field(
        0, ge=0, description="pixels added on each side before a random crop to the original size"
    )
    flip: bool = Field(False, description="mirror left and right with probability 1/2")
    noise: float = Field(0.0, ge=0, description="standard deviation of Gaussian noise added to each input")

    late: ClassVar[frozenset[str]] = frozenset({"noise"})

    @property
    def active(self) -> bool:
        """Return whether any image is changed."""
        return self.pad > 0 or self.flip or self.noise > 0


@dataclass(frozen=True)
class Draws:
    """The draws for one batch, (B,) each: offsets of the crop in 0..2 pad, and which images are mirrored."""

    top: Tensor
    left: Tensor
    flip: Tensor


def draw(options: Augment, seed: int, step: int, batch: int) -> Draws:
    """Return the draws of a step from hash(seed, "augment", step).

    Each option has its own numbers, so that one option does not change the draws of another.

    Args:
        options: the augmentation.
        seed: seed of the run.
        step: number of the step, from 0.
        batch: number of images B.
    """
    generator = seeding.generator(seed, "augment", step)
    uniform = torch.rand(3, batch, generator=generator, dtype=torch.float64)
    offsets = (uniform[:2] * (2 * options.pad + 1)).long()  # (2, B)
    return Draws(offsets[0], offsets[1], (uniform[2] < 0.5) & options.flip)


def apply(x: Tensor, draws: Draws, pad: int) -> Tensor:
    """Return the batch (B, C, H, W) cropped and mirrored; padding is 0, the mean of standardized images."""
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
    """Return the batch (B, C, H, W) with the changes of this step.

    Args:
        x: the batch.
        options: the augmentation.
        seed: seed of the run.
        step: number of the step, from 0.
    """
    if options.pad or options.flip:
        x = apply(x, draw(options, seed, step, len(x)), options.pad)
    if options.noise:
        generator = seeding.generator(seed, "input_noise", step)
        numbers = torch.randn(x.shape, generator=generator)
        x = torch.add(x, numbers.to(x.device, x.dtype), alpha=options.noise)
    return x

"""How a normalization meets a sequence: at one step of a recurrent loop, or at all steps in one go."""

from __future__ import annotations

from torch import Tensor, nn

Seen = list[tuple[Tensor, Tensor]]  # mean and biased variance of the batch at each step, (F,) each


class SequenceLayer(nn.Module):
    """Base: normalizes (B, F) at each step of a sequence.

    In a recurrent loop: `at` for one step after the other, which notes its statistics in `seen`, then
    `remember`. Where all steps are known at once: `forward`, which does both.
    """

    def at(self, x: Tensor, step: int, seen: Seen) -> Tensor:
        """Normalize x (B, F) of this step, counted from 0."""
        raise NotImplementedError

    def remember(self, seen: Seen) -> None:
        """Move the running statistics by those of a whole sequence; at inference there are none."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize a whole sequence x (T, B, F)."""
        raise NotImplementedError


class EachStep(SequenceLayer):
    """The same layer at every step, for normalizations that keep no statistics."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def at(self, x: Tensor, step: int, seen: Seen) -> Tensor:
        """Normalize x (B, F)."""
        return self.layer(x)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (T, B, F): each step's samples are samples like others."""
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

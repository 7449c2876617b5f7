"""How a normalization is applied to a sequence: step by step in a recurrent loop, or to all steps at once."""

from __future__ import annotations

from torch import Tensor, nn

Seen = list[tuple[Tensor, Tensor]]  # mean and biased variance of the batch at each step, (F,) each


class SequenceLayer(nn.Module):
    """Base class: normalizes (B, F) at each step of a sequence.

    A recurrent loop calls `at` for each step, which appends the step's statistics to `seen`, and then
    `remember`. Where all steps are known at once, `forward` does both.
    """

    def at(self, x: Tensor, step: int, seen: Seen) -> Tensor:
        """Return x (B, F) of this step (from 0), normalized."""
        raise NotImplementedError

    def remember(self, seen: Seen) -> None:
        """Update the running statistics from those of a whole sequence (in training)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return a whole sequence x (T, B, F), normalized."""
        raise NotImplementedError


class EachStep(SequenceLayer):
    """The same layer at every step, for normalizations without running statistics."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def at(self, x: Tensor, step: int, seen: Seen) -> Tensor:
        """Return x (B, F), normalized."""
        return self.layer(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return x (T, B, F), normalized; every step of every sequence counts as one sample."""
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])

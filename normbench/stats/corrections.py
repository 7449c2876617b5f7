"""p-values corrected for their number: by Holm, and by Benjamini and Hochberg."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.stats.intervals import LEVEL

ALPHA = 1 - LEVEL
_ROUNDING = 1e-9  # a p-value at a bound holds, up to rounding


def holm(values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values of Holm (1979): those up to alpha are right together, at 1 - alpha."""
    adjusted, largest = [1.0] * len(values), 0.0
    for place, i in enumerate(_ascending(values)):
        largest = max(largest, min(1.0, values[i] * (len(values) - place)))
        adjusted[i] = largest
    return adjusted


def benjamini_hochberg(values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values of Benjamini and Hochberg (1995).

    Of those up to alpha, a share of at most alpha is expected to be false.
    """
    adjusted, smallest = [1.0] * len(values), 1.0
    for place, i in reversed(list(enumerate(_ascending(values), start=1))):
        smallest = min(smallest, values[i] * len(values) / place)
        adjusted[i] = smallest
    return adjusted


def holds(adjusted: float, alpha: float = ALPHA) -> bool:
    """Return whether an adjusted p-value is at most alpha, up to rounding."""
    return adjusted <= alpha * (1 + _ROUNDING)


def _ascending(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda i: values[i])

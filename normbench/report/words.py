"""What the marks of a picture say, as text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from normbench.analysis.variants import number
from normbench.plots.style import clean


class Words(NamedTuple):
    """What a mark shows: what all marks of its color share, and its own words, parted by semicolons.

    A part that begins with @ is a value of the horizontal axis, one with = of the vertical one; the page
    writes the names of the axes before them.
    """

    shared: str
    own: str


def what(label: str) -> str:
    """Return the label of an axis without its unit."""
    return clean(label).split(" (")[0].split(",")[0]


def span_text(mean: float, low: float, high: float) -> str:
    """Return `0.92 [0.9, 0.94]`, without brackets where there is no interval."""
    if np.isnan(mean):
        return "no value"
    text = number(float(f"{mean:.4g}")) if np.isfinite(mean) else "beyond the grid"
    if np.isnan(low) or np.isnan(high):
        return text
    return f"{text} [{_end(low)}, {_end(high)}]"


def _end(value: float) -> str:
    return number(float(f"{value:.4g}")) if np.isfinite(value) else ("∞" if value > 0 else "-∞")

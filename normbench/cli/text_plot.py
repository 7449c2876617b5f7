"""A curve in the terminal: columns of block characters, or of `#` where the terminal has none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from normbench.cli.output import scalar
from normbench.cli.streams import is_written

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_PLAIN = " #"


def text_plot(title: str, steps: Sequence[float], values: Sequence[float], wide: int, tall: int = 8) -> str:
    """Return a curve as lines of text: filled from the bottom, with its range at the left.

    A column shows the mean of the values that fall into it, or the line between its neighbors. A `!` below
    the axis marks a value that is infinite.

    Args:
        title: above it.
        steps: ascending, at least one.
        values: at these steps; infinite ones have no height.
        wide: columns of text for all of it, labels included.
        tall: lines of the curve.
    """
    marks = _EIGHTHS if is_written(_EIGHTHS) else _PLAIN
    known = [(x, y) for x, y in zip(steps, values, strict=True) if math.isfinite(y)]
    if not known:
        return f"{title}: no finite value"
    low, high = min(y for _, y in known), max(y for _, y in known)
    labels = [scalar(float(f"{value:.4g}")) for value in (high, low)]
    margin = max(map(len, labels)) + 1
    columns = max(8, wide - margin - 2)
    first, last = steps[0], steps[-1]
    heights = _heights(known, first, last, columns)
    levels = len(marks) - 1
    # The lowest value has one mark, so that it differs from no value.
    filled = [
        None
        if y is None
        else 1 + round(((y - low) / (high - low) if high > low else 0.0) * (tall * levels - 1))
        for y in heights
    ]
    lines = [title]
    for line in range(tall - 1, -1, -1):
        label = labels[0] if line == tall - 1 else labels[1] if line == 0 else ""
        cells = "".join(marks[max(0, min(levels, (n or 0) - line * levels))] for n in filled)
        lines.append(f"{label:>{margin}} |{cells}".rstrip())
    begin, end = scalar(int(first)), f"step {scalar(int(last))}"
    lines.append(f"{'':{margin}}  {begin}{end:>{max(columns - len(begin), len(end) + 1)}}")
    lost = [x for x, y in zip(steps, values, strict=True) if not math.isfinite(y)]
    if lost:
        lines.append(f"{'':{margin}}  not finite at step {', '.join(scalar(int(x)) for x in lost[:5])}")
    return "\n".join(lines)


def _heights(
    known: Sequence[tuple[float, float]], first: float, last: float, columns: int
) -> list[float | None]:
    """Return the value of each column: the mean of those in it, or what lies between its neighbors."""
    cells: list[list[float]] = [[] for _ in range(columns)]
    for x, y in known:
        share = (x - first) / (last - first) if last > first else 0.0
        cells[min(columns - 1, int(share * columns))].append(y)
    places = [i for i, cell in enumerate(cells) if cell]
    means = {i: math.fsum(y / len(cells[i]) for y in cells[i]) for i in places}
    found: list[float | None] = []
    for i in range(columns):
        before = max((place for place in places if place <= i), default=None)
        after = min((place for place in places if place >= i), default=None)
        if before is None or after is None:
            found.append(None)
        elif before == after:
            found.append(means[i])
        else:
            share = (i - before) / (after - before)
            found.append(means[before] * (1 - share) + means[after] * share)
    return found

"""What runs.csv says of a run's rows in metrics.csv: the last value and the best one of each quantity."""

from __future__ import annotations

import math
from collections.abc import Sequence

from normbench.names import QUANTITIES
from normbench.records.schema import METRICS

POSITIONS = {name: METRICS.names.index(name) for name in QUANTITIES}


def final_cells(last_row: Sequence[str] | None) -> dict[str, str]:
    """Return the `final_*` cells, which are those of the last row."""
    return {f"final_{name}": last_row[at] if last_row else "" for name, at in POSITIONS.items()}


def summary_cells(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return the `final_*` and `best_*` cells (lowest loss, highest accuracy) as the rows have them."""
    cells = final_cells(rows[-1] if rows else None)
    for name, at in POSITIONS.items():
        texts = [row[at] for row in rows if row[at]]
        numbers = [(float(text), text) for text in texts]
        numbers = [pair for pair in numbers if not math.isnan(pair[0])]
        best = (min if name.endswith("loss") else max)(numbers, default=(math.nan, texts[0] if texts else ""))
        cells[f"best_{name}"] = best[1]
    return cells

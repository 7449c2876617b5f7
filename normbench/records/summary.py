"""The cells of runs.csv that follow from other records: a run's summary and its outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from normbench.names import QUANTITIES
from normbench.records.schema import COST, END, INFERENCE, METRICS
from normbench.stats.outcome import outcome

_POSITIONS = {name: METRICS.names.index(name) for name in QUANTITIES}
_NO_SUMMARY = {f"{form}_{name}": "" for name in QUANTITIES for form in ("final", "best")}


def final_cells(last_row: Sequence[str] | None) -> dict[str, str]:
    """Return the `final_*` cells: those of the last row of metrics."""
    return {f"final_{name}": last_row[at] if last_row else "" for name, at in _POSITIONS.items()}


def summary_cells(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return the `final_*` and `best_*` cells (lowest loss, highest accuracy) of a run's rows of metrics."""
    cells = final_cells(rows[-1] if rows else None)
    for name, at in _POSITIONS.items():
        texts = [row[at] for row in rows if row[at]]
        numbers = [(float(text), text) for text in texts]
        numbers = [pair for pair in numbers if not math.isnan(pair[0])]
        best = (min if name.endswith("loss") else max)(numbers, default=(math.nan, texts[0] if texts else ""))
        cells[f"best_{name}"] = best[1]
    return cells


def run_cells(
    status: str, end: Mapping[str, str], rows: Sequence[Sequence[str]], trains_below: float | None
) -> dict[str, str]:
    """Return the cells of a run in runs.csv, from `status` on.

    Args:
        status: of the run.
        end: the cells of how the run ended; missing ones are empty.
        rows: its rows of metrics.
        trains_below: the setting of this name; None leaves the outcome empty.

    Returns:
        The cells by column.
    """
    known = {column.name: end.get(column.name, "") for column in (*END, *COST, *INFERENCE)}
    return {
        **known,
        "status": status,
        "outcome": outcome_cell(known, status, trains_below),
        **(summary_cells(rows) if rows else _NO_SUMMARY),
    }


def outcome_cell(end: Mapping[str, str], status: str, trains_below: float | None) -> str:
    """Return the outcome of a run. It follows from recorded cells, so it can change without training."""
    loss, entropy = end["train_loss_last_tenth"], end["label_entropy"]
    if trains_below is None:
        return ""
    found = outcome(float(loss) if loss else None, float(entropy) if entropy else None, trains_below, status)
    return found or ""

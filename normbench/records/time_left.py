"""The expected training time of the runs without a result, estimated from the runs with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normbench.names import RATE, RESULTS
from normbench.records.schema import count

Row = Mapping[str, str]


def seconds_left(rows: Sequence[Row], swept: Sequence[str], workers: int = 1) -> float | None:
    """Return the expected training time of the runs that are left.

    A run is expected to take the mean time of the ended runs nearest to it: those of the same cell, or of the
    same variant at other learning rates, or all. Runs that diverged early count as they are, since a cell
    that diverges costs little. An interrupted run has its share of the steps behind it. Crashed runs are not
    trained again unless the user asks.

    Args:
        rows: the cells of all runs, by column.
        swept: the swept keys.
        workers: the number of processes that train at the same time.

    Returns:
        Seconds; 0 if no run is left, None if no run has ended yet.
    """
    left = [row for row in rows if row["status"] in ("interrupted", "pending")]
    ended = [row for row in rows if row["status"] in RESULTS and row["train_seconds"]]
    if not left:
        return 0.0
    if not ended:
        return None
    levels: list[list[str]] = [list(swept), [key for key in swept if key != RATE], []]
    tables = [(keys, _means(ended, keys)) for keys in levels]
    return sum(_expected(row, tables) for row in left) / workers


def _means(ended: Sequence[Row], keys: Sequence[str]) -> dict[tuple[str, ...], tuple[float, int]]:
    """Return the mean seconds of a run and the largest number of steps, for each group of ended runs."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in ended:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return {
        values: (
            sum(float(row["train_seconds"]) for row in group) / len(group),
            max(count(row["steps"]) for row in group),
        )
        for values, group in groups.items()
    }


def _expected(
    row: Row, tables: Sequence[tuple[Sequence[str], Mapping[tuple[str, ...], tuple[float, int]]]]
) -> float:
    """Return the seconds that this run still takes, from the nearest group with an ended run."""
    for keys, means in tables:
        found = means.get(tuple(row[key] for key in keys))
        if found is not None:
            seconds, steps = found
            behind = count(row["steps"])
            return seconds * (1 - behind / steps if 0 <= behind < steps else 1.0)
    raise AssertionError("the last table has all ended runs in one group")

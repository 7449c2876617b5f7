"""Runs of several experiments that meet a condition, as plain rows with the columns of runs.csv."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.analysis.conditions import read_condition, refuse_unknown
from normbench.analysis.settings import settings_of
from normbench.records import read_runs
from normbench.records.schema import runs_table

EXPERIMENT = "experiment"
Row = dict[str, Any]


@dataclass(frozen=True)
class Selected:
    """Runs that meet a condition.

    Attributes:
        columns: `experiment`, the columns of runs.csv, and the other settings that the condition asks for.
        rows: a value for each column; None for an empty cell.
    """

    columns: list[str]
    rows: list[Row]


def select(
    folders: Sequence[Path], where: str | None = None, say: Callable[[str], None] = lambda _: None
) -> Selected:
    """Return the runs of experiments that meet a condition, in the order of the folders and the plan.

    Args:
        folders: of the experiments.
        where: the condition, see `analysis.conditions`; None: all runs. It may name each column of runs.csv
            and each setting, swept or not, and `experiment`.
        say: hears sentences about what is missing or damaged.

    Raises:
        NormbenchError: the condition cannot be read, or names a column that no experiment has.
    """
    condition = None if where is None else read_condition(where)
    tables = [_rows(folder, say) for folder in folders]
    columns = _columns([columns for columns, _ in tables])
    if condition is not None:
        for folder, (own, rows) in zip(folders, tables, strict=True):
            if not {EXPERIMENT, *own}.issuperset(condition.names):  # it may sweep other keys than the others
                _add_settings(folder, own, rows, say)
        refuse_unknown(condition, {*columns, *(key for _, rows in tables for row in rows for key in row)})
        columns += [name for name in condition.names if name not in columns]
        tables = [(own, [row for row in rows if condition.holds(row)]) for own, rows in tables]
    return Selected(
        columns, [{name: row.get(name) for name in columns} for _, rows in tables for row in rows]
    )


def _rows(folder: Path, say: Callable[[str], None]) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of runs.csv as plain values."""
    import pandas as pd

    runs = read_runs(folder)
    for sentence in runs.attrs.pop("warnings"):
        say(sentence)
    whole = {one.name for one in runs_table(()).columns if one.kind == "int?"}
    rows: list[Row] = []
    for record in runs.to_dict("records"):
        row: Row = {EXPERIMENT: folder.resolve().name}
        for name, value in record.items():
            row[str(name)] = None if pd.isna(value) else int(value) if name in whole else value
        rows.append(row)
    return [str(name) for name in runs.columns], rows


def _columns(every: Sequence[list[str]]) -> list[str]:
    """Return the columns of all experiments: their swept keys behind the seed, then the results."""
    fixed = runs_table(()).names
    swept = dict.fromkeys(name for columns in every for name in columns if name not in fixed)
    return [EXPERIMENT, *fixed[:2], *swept, *fixed[2:]]


def _add_settings(folder: Path, columns: list[str], rows: list[Row], say: Callable[[str], None]) -> None:
    """Add all settings to the rows of an experiment."""
    runs = read_runs(folder)
    swept = tuple(columns[columns.index("seed") + 1 : columns.index("status")])
    found, notes = settings_of(runs, swept, folder)
    for sentence in notes:
        say(sentence)
    for row, settings in zip(rows, found, strict=True):
        for key, value in settings.items():
            row.setdefault(key, value)

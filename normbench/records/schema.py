"""The CSV files: their columns, and how a value becomes the text of a cell and comes back.

RFC 4180 with `\\n` line ends, UTF-8, one record to a line (a line break inside a text becomes a space), so
that a file can be read and healed line by line.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from normbench.errors import RecordsError
from normbench.names import QUANTITIES, STATUSES
from normbench.records.files import write_file

Kind = Literal["id", "int", "float", "text"]
LONGEST_LINE = 1 << 20  # bytes; a longer line is garbage, and is not read into memory
RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
FORMULA = "=+-@\t\r"  # a spreadsheet takes a text that begins so for a formula
QUOTED = re.compile(r'[,"]')


@dataclass(frozen=True)
class Column:
    """One column: its name and what its cells hold."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Table:
    """One CSV file. Rows of a run with an equal `key` are the same measurement: the later one counts."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Return the names of the columns, the header of the file."""
        return [column.name for column in self.columns]

    @property
    def file(self) -> str:
        """Return the name of the merged file."""
        return f"{self.name}.csv"


def columns(kinds: str) -> tuple[Column, ...]:
    """Return the columns that a text such as `run_id:id step:int` names."""
    pairs = (word.split(":") for word in kinds.split())
    return tuple(Column(name, kind) for name, kind in pairs)  # type: ignore[arg-type]


METRICS = Table(
    "metrics",
    columns("run_id:id step:int epoch:float lr:float " + " ".join(f"{name}:float" for name in QUANTITIES)),
    key=("step",),
)
LAYERS = Table(
    "layers",
    columns("run_id:id step:int layer:text quantity:text value:float"),
    key=("step", "layer", "quantity"),
)
# How a run ended: the same in a part file and in runs.csv, where the swept keys and the summary join it.
END = columns("status:text steps:int diverged_at_step:int train_loss_last_tenth:float label_entropy:float")
COST = columns("parameters:int train_seconds:float stack:text executor:text")
SUMMARY = columns(" ".join(f"{form}_{name}:float" for name in QUANTITIES for form in ("final", "best")))
# A part also keeps what its reader cannot know: the config's `trains_below`, and how many rows of metrics
# were written before, so that an end whose rows are lost is not taken for a result.
PART_RUNS = Table("runs", (*columns("run_id:id"), *END, *COST, *columns("trains_below:float rows:int")))
ROWS = {"metrics": METRICS, "layers": LAYERS}  # the tables that are merged row by row
PART_TABLES = {"metrics": METRICS, "layers": LAYERS, "runs": PART_RUNS}


def runs_table(swept: Iterable[str]) -> Table:
    """Return runs.csv for these swept keys, in the order of columns of the design."""
    head = (*columns("run_id:id seed:int"), *(Column(key, "text") for key in swept))
    end = (END[0], *columns("outcome:text"), *END[1:])
    return Table("runs", (*head, *end, *SUMMARY, *COST))


def swept_keys(header: Sequence[str], file: Path) -> list[str]:
    """Return the swept keys that a header of runs.csv names; RecordsError if it is no such header."""
    fixed = len(runs_table([]).columns)
    keys = list(header[2 : len(header) - fixed + 2])
    if list(header) != runs_table(keys).names:
        raise RecordsError(
            f"{file}:1: the header is {_short(','.join(header))}; it must begin with run_id,seed and "
            f"end with {','.join(runs_table([]).names[2:])}; restore the file, or "
            "move it away: its runs are then trained again"
        )
    return [text_value(key) for key in keys]


# Values to cells ------------------------------------------------------------------------------------------


def format_float(value: float | None, dtype: str = "float64") -> str:
    """Return the shortest text that gives the same number back in `dtype` (`float32` or `float64`).

    >>> format_float(float(np.float32(0.1)), "float32")
    '0.1'
    """
    if value is None:
        return ""
    if dtype == "float32":
        with np.errstate(over="ignore"):
            single = np.float32(value)
        # A mean kept in double precision can exceed float32; its own digits are then better than `inf`.
        if np.isfinite(single) or not np.isfinite(value):
            return str(single)
    return repr(float(value))


def format_cell(value: Any, dtype: str = "float64") -> str:
    """Return the text of a cell: numbers plain, true/false, a text safe for spreadsheets, None empty."""
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return format_float(float(value), dtype)
    return safe_text(value if isinstance(value, str) else json.dumps(value, default=str))


def safe_text(text: str) -> str:
    """Return a text on one line that no spreadsheet takes for a formula: such a one gets a `'` in front."""
    text = text.replace("\r\n", " ").replace("\n", " ").replace("\0", "")
    if text[:1] and text[0] in FORMULA + "'":
        text = "'" + text
    return text.replace("\r", " ")


def text_value(cell: str) -> str:
    """Return the text of a cell that `safe_text` wrote."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] and cell[1] in FORMULA + "' " else cell


def line(cells: Iterable[str]) -> bytes:
    """Return one line of a file from the texts of its cells."""
    quoted = ('"' + cell.replace('"', '""') + '"' if QUOTED.search(cell) else cell for cell in cells)
    return (",".join(quoted) + "\n").encode("utf-8", "replace")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a small table such as claims.csv as a whole: written aside, then renamed."""
    lines = [line(map(safe_text, header)), *(line(map(format_cell, row)) for row in rows)]
    write_file(path, b"".join(lines))


# Cells to values ------------------------------------------------------------------------------------------


def cells_of(raw: bytes) -> list[str]:
    """Return the texts of the cells of one line; ValueError if it is not text or not CSV."""
    text = raw.decode("utf-8").rstrip("\r\n")
    if "\0" in text or "\r" in text:
        raise ValueError("a control character")
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader(io.StringIO(text), strict=True))
    except (csv.Error, StopIteration) as error:
        raise ValueError(str(error)) from None


def problem(table: Table, raw: bytes) -> str | None:
    """Return what is wrong with a line of this table, None if nothing is."""
    try:
        cells = cells_of(raw)
    except ValueError as error:
        return f"not a line of CSV in UTF-8 ({error}): {_short(raw.decode('utf-8', 'backslashreplace'))}"
    if len(cells) != len(table.columns):
        return f"{len(cells)} cells, where the header has {len(table.columns)}: {_short(','.join(cells))}"
    for column, cell in zip(table.columns, cells, strict=True):
        try:
            if column.kind == "id" and not RUN_ID.fullmatch(cell):
                raise ValueError
            if column.kind == "float" and cell:
                number(cell)
            if column.kind == "int" and (cell or column.name in ("step", "seed")):
                _whole(cell)
        except ValueError:
            what = {"id": "a run id", "float": "a number", "int": "a whole number"}[column.kind]
            return f"{column.name}: {_short(cell)!r} is not {what}"
        if column.name == "status" and cell not in STATUSES:
            return f"status: {_short(cell)!r} is unknown; one of: {', '.join(STATUSES)}"
    return None


def garbage(path: Path, number: int, what: str) -> RecordsError:
    """Return the error for a line that no crash of ours leaves behind."""
    return RecordsError(
        f"{path}:{number}: {what}. Restore the file, or delete the line: runs whose rows are missing are "
        "trained again by the next `normbench run`"
    )


def number(cell: str) -> float:
    """Return the number of a cell; ValueError for what only Python takes for one."""
    if (
        not cell.isascii() or "_" in cell or cell != cell.strip()
    ):  # such as 1_000, and other alphabets' digits
        raise ValueError(cell)
    return float(cell)


def _whole(cell: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", cell):
        raise ValueError
    return int(cell)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."

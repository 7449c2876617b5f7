"""The schema of the CSV files: columns, their types, and the conversion between values and cells.

The files follow RFC 4180 with `\\n` line ends and UTF-8. Each record takes exactly one line (a line break in
a text becomes a space), so that a damaged file can be read and repaired line by line.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from normbench.errors import RecordsError
from normbench.names import QUANTITIES, STATUSES
from normbench.records.files import write_file

# What the cells of a column hold. `int?` may be empty, `int` may not; any float may be empty. A `word` is a
# text that stays a text; the cells of a `swept` key are numbers or texts, see `swept_values`.
Kind = Literal["id", "int", "int?", "float", "word", "swept"]
LONGEST_LINE = 1 << 20  # bytes; a longer line is damaged and is not read into memory
RUN_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
FORMULA = "=+-@\t\r"  # a spreadsheet evaluates a text that starts with one of these
QUOTED = re.compile(r'[,"]')
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|-?inf")
# Cells that are right, as normbench writes them, by the kind of their column. Other cells may be right, too.
_USUAL = {
    "id": RUN_ID.pattern,
    "int": "-?[0-9]{1,18}",
    "int?": "(?:-?[0-9]{1,18})?",
    "float": r"(?:-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|-?inf|nan)?",
    "word": r'[^,"\r\n\0\x80-\xff]*',
    "swept": r'[^,"\r\n\0\x80-\xff]*',
}


@dataclass(frozen=True)
class Column:
    """One column: its name and the kind of its cells."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Table:
    """One CSV file.

    Rows of a run with an equal `key` repeat the same measurement; the last one counts. `float_type` is the
    dtype of the float columns in memory. `late` counts the last columns that files of older versions lack.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    float_type: Literal["float32", "float64"] = "float64"
    late: int = 0

    def forms(self) -> tuple[Table, ...]:
        """Return the table as it is written now, and as older versions wrote it."""
        older = replace(self, columns=self.columns[: len(self.columns) - self.late], late=0)
        return (self, older) if self.late else (self,)

    @property
    def names(self) -> list[str]:
        """Return the names of the columns, the header of the file."""
        return [column.name for column in self.columns]

    @property
    def file(self) -> str:
        """Return the name of the merged file."""
        return f"{self.name}.csv"

    @cached_property
    def usual(self) -> re.Pattern[bytes]:
        """Return what lines match in which `problem` finds nothing wrong; it saves a look at each cell."""
        cells = (
            "|".join(STATUSES) if column.name == "status" else _USUAL[column.kind] for column in self.columns
        )
        return re.compile((",".join(f"(?:{cell})" for cell in cells) + "\n").encode())


def columns(kinds: str) -> tuple[Column, ...]:
    """Return the columns that a text such as `run_id:id step:int` describes."""
    pairs = (word.split(":") for word in kinds.split())
    return tuple(Column(name, kind) for name, kind in pairs)  # type: ignore[arg-type]


METRICS = Table(
    "metrics",
    columns("run_id:id step:int epoch:float lr:float " + " ".join(f"{name}:float" for name in QUANTITIES)),
    key=("step",),
    float_type="float32",  # a large sweep has millions of rows, written with the digits of float32
)
LAYERS = Table(
    "layers",
    columns("run_id:id step:int layer:word quantity:word value:float"),
    key=("step", "layer", "quantity"),
)
# How a run ended. Part files and runs.csv share these columns; runs.csv adds the swept keys and the summary.
END = columns("status:word steps:int? diverged_at_step:int? train_loss_last_tenth:float label_entropy:float")
COST = columns("parameters:int? train_seconds:float stack:word executor:word")
# Losses and accuracies of a finished run on training images at inference, and how many images these were.
# Version 0.2 and older did not write them; they then read as empty.
INFERENCE = columns("inference_train_loss:float inference_train_accuracy:float inference_train_images:int?")
# The swept keys that the run's own settings decide, such as the activation of SELU, separated by spaces.
# Figures and claims put such a run beside each value of these keys. `none`: it decides no key. Version 0.1
# did not write the column, which then reads as empty.
DECIDED = columns("decided:word")
SUMMARY = columns(" ".join(f"{form}_{name}:float" for name in QUANTITIES for form in ("final", "best")))
# A part also records the config's `trains_below`, which its reader does not know, and the number of metrics
# rows written before the end, so that an end whose rows were lost does not count as a result.
PART_RUNS = Table(
    "runs",
    (*columns("run_id:id"), *END, *COST, *columns("trains_below:float rows:int?"), *INFERENCE),
    late=len(INFERENCE),
)
ROWS = {"metrics": METRICS, "layers": LAYERS}  # the tables that are merged row by row
PART_TABLES = {"metrics": METRICS, "layers": LAYERS, "runs": PART_RUNS}


# The columns that runs.csv lacks: as it is written now, by version 0.2 and by version 0.1.
LACKING = ((), INFERENCE, (*INFERENCE, *DECIDED))


def runs_table(swept: Iterable[str], lacking: Sequence[Column] = ()) -> Table:
    """Return the table runs.csv for these swept keys, as written now or without what an older one lacks."""
    head = (*columns("run_id:id seed:int"), *(Column(key, "swept") for key in swept))
    end = (END[0], *columns("outcome:word"), *END[1:])
    every = (*head, *end, *SUMMARY, *INFERENCE, *COST, *DECIDED)
    return Table("runs", tuple(column for column in every if column not in lacking))


def table_of(header: Sequence[str], file: Path) -> Table:
    """Return the table of a header of runs.csv; RecordsError if it is not a header of that file."""
    names = [text_value(name) for name in header]
    if len(set(names)) == len(names):
        for lacking in LACKING:
            fixed = len(runs_table([], lacking).columns)
            table = runs_table(header[2 : len(header) - fixed + 2], lacking)
            if list(header) == table.names:
                return table
    raise RecordsError(
        f"{file}:1: {saved_otherwise(','.join(header).encode())}"
        f"The header is {_short(','.join(header))}; it must begin with run_id,seed, name each "
        f"column once, and end with {','.join(runs_table([]).names[2:])}; restore the file, or "
        "move it away: its runs are then trained again"
    )


def swept_keys(table: Table) -> list[str]:
    """Return the swept keys that are columns of runs.csv."""
    return [text_value(column.name) for column in table.columns if column.kind == "swept"]


def format_float(value: float | None, dtype: str = "float64") -> str:
    """Return the shortest text that reads back as the same number in `dtype` (`float32` or `float64`).

    >>> format_float(float(np.float32(0.1)), "float32")
    '0.1'
    """
    if value is None:
        return ""
    if dtype == "float32":
        with np.errstate(over="ignore"):
            single = np.float32(value)
        # A mean in double precision can exceed the range of float32; write its own digits instead of `inf`.
        if np.isfinite(single) or not np.isfinite(value):
            return str(single)
    return repr(float(value))


def format_cell(value: Any, dtype: str = "float64") -> str:
    """Return the text of a cell: plain numbers, true or false, safe texts, nothing for None."""
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
    """Return a text on one line, with a `'` in front if a spreadsheet would evaluate it as a formula."""
    text = text.replace("\r\n", " ").replace("\n", " ").replace("\0", "")
    if text[:1] and text[0] in FORMULA + "'":
        text = "'" + text
    return text.replace("\r", " ")


def text_value(cell: str) -> str:
    """Return the text that `safe_text` turned into this cell."""
    return cell[1:] if cell[:1] == "'" and cell[1:2] and cell[1] in FORMULA + "' " else cell


def line(cells: Iterable[str]) -> bytes:
    """Return the line of a file with these cells."""
    quoted = ('"' + cell.replace('"', '""') + '"' if QUOTED.search(cell) else cell for cell in cells)
    return (",".join(quoted) + "\n").encode("utf-8", "replace")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a small table such as claims.csv in one step: into a temporary file, which is then renamed."""
    lines = [line(map(safe_text, header)), *(line(map(format_cell, row)) for row in rows)]
    write_file(path, b"".join(lines))


def cells_of(raw: bytes) -> list[str]:
    """Return the cells of one line; ValueError if the line is not UTF-8 or not CSV."""
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
    """Return what is wrong with a line of this table, or None."""
    if table.usual.fullmatch(raw):
        return None
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
            if column.kind == "int":
                _whole(cell)
            if column.kind == "int?":
                count(cell)
        except ValueError:
            if column.kind == "id" and _NUMBER.fullmatch(cell.replace("+", "")):
                return (
                    f"{column.name}: {_short(cell)!r} is a number, as a spreadsheet saves one, not a run id"
                )
            what = {"id": "a run id", "float": "a number"}.get(column.kind, "a whole number")
            return f"{column.name}: {_short(cell)!r} is not {what}"
        if column.name == "status" and cell not in STATUSES:
            return f"status: {_short(cell)!r} is unknown; one of: {', '.join(STATUSES)}"
    return None


def garbage(path: Path, number: int, what: str) -> RecordsError:
    """Return the error for a line that no interrupted write of normbench can leave behind."""
    return RecordsError(
        f"{path}:{number}: {what}. Restore the file, or delete the line: runs whose rows are missing are "
        "trained again by the next `normbench run`"
    )


def same_cell(first: str, second: str, digits: bool = True) -> bool:
    """Return whether two cells hold the same number or text.

    A spreadsheet writes 1 for 1.0, 1E-05 for 1e-05, and 6 digits of a small number. `digits` tells whether
    such a loss of digits is allowed.
    """
    if first == second:
        return True
    try:
        one, two = number(first), number(second)
    except ValueError:
        return False
    both_nan = math.isnan(one) and math.isnan(two)
    return one == two or both_nan or (digits and math.isclose(one, two, rel_tol=1e-5))


def saved_otherwise(header: bytes) -> str:
    """Return how another program saved a file with this header, as the start of a sentence, or nothing."""
    if header[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in header:
        return "the file was saved in UTF-16; save it as CSV in UTF-8 with commas. "
    for mark, what in ((b";", "semicolons"), (b"\t", "tabs")):
        if header.count(mark) > max(header.count(b","), 2):
            return f"the file was saved with {what}; save it as CSV in UTF-8 with commas and decimal points. "
    return ""


def number(cell: str) -> float:
    """Return the number in a cell; ValueError for texts that only Python reads as numbers."""
    if not cell.isascii() or "_" in cell or cell != cell.strip():  # 1_000, digits of other alphabets
        raise ValueError(cell)
    return float(cell)


def swept_values(cells: Sequence[str]) -> list[int] | list[float] | list[str | None]:
    """Return the values of the cells of a swept key.

    Args:
        cells: the cells, each distinct one at least once.

    Returns:
        Whole numbers if all cells are whole numbers; floats if all cells that are not empty are numbers (an
        empty cell is NaN); otherwise texts (an empty cell is None). `none`, `off`, `nan`, `true` are texts.
    """
    filled = [cell for cell in cells if cell]
    if filled and all(_NUMBER.fullmatch(cell) for cell in filled):
        with contextlib.suppress(ValueError):
            return [_whole(cell) for cell in cells]
        return [float(cell or "nan") for cell in cells]
    return [text_value(cell) if cell else None for cell in cells]


def count(cell: str) -> int:
    """Return the whole number in a cell that may be empty, which counts as 0.

    A tool that read and saved the file may have written 13.0 for 13.
    """
    return _whole(cell.removesuffix(".0")) if cell else 0


def _whole(cell: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", cell):
        raise ValueError
    return int(cell)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."

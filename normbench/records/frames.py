"""The only reader of the records as data frames.

A folder reads the same whether its runs are finished, in progress or repaired: files that are complete go to
pandas' parser as they are. Damaged files and the part files of stacks in progress are read line by line, and
their lines go to the same parser. Columns and dtypes follow from the kinds in `schema`:

id            `run_id`: text in runs.csv, elsewhere a category with the runs in the order of runs.csv
int, int?     int64; float64 where a cell may be empty (NaN)
float         float32 in metrics.csv, otherwise float64
word          text, None for an empty cell; a category in layers.csv
swept         int64, float64 or text: see `schema.swept_values`
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.errors import RecordsError
from normbench.records.contents import Contents, MergedRuns, retried
from normbench.records.files import explained
from normbench.records.index import RowIndex
from normbench.records.parts import FOLDER
from normbench.records.schema import (
    DECIDED,
    INFERENCE,
    LAYERS,
    LONGEST_LINE,
    METRICS,
    Table,
    line,
    swept_values,
    text_value,
)

if TYPE_CHECKING:
    import pandas as pd

_BLOCK = 1 << 20  # bytes that are checked at a time
_EMPTY = ["", "nan"]  # the cells of a number that is not known


def read_runs(folder: Path | str) -> pd.DataFrame:
    """Return runs.csv with the state of the stacks in progress: one row per run, in the order of the plan.

    Sentences about damage that was repaired are in `frame.attrs["warnings"]`.
    """
    return retried(Path(folder), _read_runs)


def read_metrics(folder: Path | str) -> pd.DataFrame:
    """Return metrics.csv with the rows of the stacks in progress, in the order of runs.csv."""
    return retried(Path(folder), lambda root: _read_rows(root, METRICS))


def read_layers(folder: Path | str) -> pd.DataFrame:
    """Return layers.csv with the rows of the stacks in progress; no rows if no probe was on."""
    return retried(Path(folder), lambda root: _read_rows(root, LAYERS))


def no_rows(table: Table) -> pd.DataFrame:
    """Return the frame of a file without rows."""
    return _parse(BytesIO(line(table.names)), table, [])


def _read_runs(root: Path) -> pd.DataFrame:
    path = root / "runs.csv"
    if _is_settled(root):
        runs = MergedRuns(path)
        frame = _parsed(map(runs.line, runs.run_ids()), runs.table, path)
        said = []
    else:
        with Contents(root) as contents:
            table = contents.runs.table
            rows = ([cells[name] for name in table.names] for cells in contents.run_rows())
            frame = _parsed(map(line, rows), table, path)
            said = contents.warnings
    for column in (*INFERENCE, *DECIDED):
        if column.name not in frame.columns:  # records of an older version
            frame[column.name] = None if column.kind == "word" else float("nan")
    frame.attrs["warnings"] = list(said)
    return frame


def _read_rows(root: Path, table: Table) -> pd.DataFrame:
    path = root / table.file
    if _is_settled(root):
        frame = _parsed_if_clean(path, table, MergedRuns(root / "runs.csv").run_ids())
        if frame is not None:
            frame.attrs["warnings"] = []
            return frame
    with Contents(root) as contents:
        run_ids = contents.runs.run_ids()
        merged = _parsed_if_clean(path, table, run_ids)
        from_merged: list[str] = []
        by_line: list[tuple[str, RowIndex]] = []
        for run_id in run_ids:
            index = contents.source(table.name, run_id, contents.choose(run_id))
            if index is contents.tables[table.name] and merged is not None:
                from_merged.append(run_id)
            elif index is not None:
                by_line.append((run_id, index))
        rows = (cells for run_id, index in by_line for cells in index.rows(run_id))
        frame = _parsed(map(line, rows), table, path, run_ids)
        if merged is not None:
            frame = _joined(merged[merged["run_id"].isin(from_merged)], frame, table)
        frame.attrs["warnings"] = list(contents.warnings)
        return frame


def _is_settled(root: Path) -> bool:
    """Return whether no stack is in progress and the last line of each merged file is complete."""
    parts = root / FOLDER
    with explained(parts, "read"):
        if parts.is_dir() and any(parts.iterdir()):
            return False
    return all(_ends_with_a_line(root / name) for name in ("runs.csv", METRICS.file, LAYERS.file))


def _ends_with_a_line(path: Path) -> bool:
    """Return whether a file is absent, or its last line is complete."""
    with explained(path, "read"):
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return True
        with file:
            if not file.seek(0, SEEK_END):
                return False
            file.seek(-1, SEEK_END)
            return file.read(1) == b"\n"


def _parsed_if_clean(path: Path, table: Table, run_ids: Sequence[str]) -> pd.DataFrame | None:
    """Return the rows of a merged file, None if it has to be read line by line."""
    with explained(path, "read"):
        try:
            if not _is_clean(path, table):
                return None
            frame = _parse(path, table, run_ids)
        except FileNotFoundError:
            return _parsed([], table, path, run_ids)
        except (ValueError, OverflowError):
            return None
    if frame["run_id"].isna().any():
        return None
    return _in_order(frame)


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows by run and step; a file that another program sorted has them in another order."""
    import numpy as np

    codes, steps = frame["run_id"].cat.codes.to_numpy(), frame["step"].to_numpy()
    same = codes[1:] == codes[:-1]
    if ((codes[1:] < codes[:-1]) | (same & (steps[1:] < steps[:-1]))).any():
        return frame.iloc[np.lexsort((steps, codes))].reset_index(drop=True)
    return frame


def _is_clean(path: Path, table: Table) -> bool:
    """Return whether the parser sees the lines of a file as they are.

    The parser would accept other cells without an error: it fills lines that are too short, cuts lines that
    are too long, and joins lines inside quotes.
    """
    header, rest = line(table.names), b""
    with path.open("rb") as file:
        if file.readline(len(header) + 1) != header:
            return False
        while block := file.read(_BLOCK):
            text = rest + block
            end = text.rfind(b"\n") + 1
            if any(mark in block for mark in (b'"', b"\r", b"\0")) or len(text) - end > LONGEST_LINE:
                return False
            if not _has_cells(text[:end], len(table.columns)):
                return False
            rest = text[end:]
    return not rest


def _has_cells(lines: bytes, count: int) -> bool:
    """Return whether each of these lines, which have no quotes, has `count` cells."""
    import numpy as np

    text = np.frombuffer(lines, dtype="uint8")
    ends, commas = np.flatnonzero(text == ord("\n")), np.flatnonzero(text == ord(","))
    return bool((np.diff(np.searchsorted(commas, ends), prepend=0) == count - 1).all())


def _parsed(
    lines: Iterable[bytes], table: Table, path: Path, run_ids: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return lines of a file, checked before, as a frame."""
    text = BytesIO()
    text.write(line(table.names))
    text.writelines(lines)
    text.seek(0)
    try:
        return _parse(text, table, run_ids)
    except (ValueError, OverflowError) as error:
        raise RecordsError(f"{path}: damaged ({error}); move it away and run the config again") from error


def _parse(source: Path | BytesIO, table: Table, run_ids: Sequence[str] | None) -> pd.DataFrame:
    """Return a CSV file as a frame with the dtypes of its table; `run_ids` is None for runs.csv."""
    import pandas as pd

    types: dict[str, Any] = {"int": "int64", "int?": "float64", "float": table.float_type}
    if run_ids is not None:
        types |= {"id": pd.CategoricalDtype(list(run_ids)), "word": "category"}
    empty = {column.name: _EMPTY for column in table.columns if column.kind in ("int?", "float")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of runs that are not in `run_ids`; their ids become NaN
        frame: pd.DataFrame = pd.read_csv(
            source,
            names=table.names,
            header=0,
            usecols=table.names,  # all of them; without this the parser takes twice the memory
            dtype={column.name: types.get(column.kind, "str") for column in table.columns},
            na_values=empty,
            keep_default_na=False,
        )
    for column in table.columns:
        cells = frame[column.name]
        if column.kind not in types:
            frame[column.name] = _values(cells, swept=column.kind == "swept")
        elif column.kind == "word":
            frame[column.name] = _words(cells)
    return frame


def _values(column: pd.Series[Any], swept: bool) -> pd.Series[Any]:
    """Return the values of a column of cells; each distinct cell is converted once."""
    import numpy as np
    import pandas as pd

    codes, distinct = pd.factorize(column.astype(object))
    cells = [str(cell) for cell in distinct]
    values = swept_values(cells) if swept else [text_value(cell) if cell else None for cell in cells]
    is_number = bool(values) and all(isinstance(value, (int, float)) for value in values)
    known = np.array(values) if is_number else np.array(values, dtype=object)
    return pd.Series(known[codes], dtype=known.dtype, index=column.index, name=column.name)


def _words(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a category column of cells as one of texts, in alphabetical order."""
    import numpy as np
    import pandas as pd

    # pandas turns categories that are all numbers into numbers.
    texts = [text_value(str(cell)) for cell in column.cat.categories]
    names = sorted(set(texts))
    places = {text: place for place, text in enumerate(names)}
    codes = np.array([places[text] for text in texts], dtype="int64")[column.cat.codes.to_numpy()]
    words = pd.Categorical.from_codes(codes, categories=pd.Index(names, dtype="str"))
    return pd.Series(words, index=column.index, name=column.name)


def _joined(merged: pd.DataFrame, parts: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Return the rows of both frames in the order of the runs."""
    import numpy as np
    import pandas as pd

    columns: dict[str, pd.Series[Any]] = {}
    for column in table.columns:
        both = [merged[column.name], parts[column.name]]
        if column.kind == "word":
            words = pd.api.types.union_categoricals(both, sort_categories=True)
            columns[column.name] = pd.Series(words.remove_unused_categories())
        else:
            columns[column.name] = pd.concat(both, ignore_index=True)
    order = np.argsort(columns["run_id"].cat.codes.to_numpy(), kind="stable")
    return pd.DataFrame(columns).iloc[order].reset_index(drop=True)

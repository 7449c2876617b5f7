"""Where the rows of each run are in a CSV file: byte ranges, so that only one run is in memory."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from normbench.errors import RecordsError
from normbench.records.files import explained
from normbench.records.schema import (
    LONGEST_LINE,
    RUN_ID,
    Table,
    cells_of,
    garbage,
    line,
    problem,
    saved_otherwise,
)

OPEN_FILES = 64  # at most at a time


class OpenFiles:
    """Files opened for reading; the least recently used one is closed first. Open files survive a rename."""

    def __init__(self) -> None:
        self._files: OrderedDict[Path, BinaryIO] = OrderedDict()

    def read(self, path: Path, offset: int, length: int) -> bytes:
        """Return `length` bytes of a file from `offset` on."""
        with explained(path, "read"):
            if path in self._files:
                self._files.move_to_end(path)
            else:
                self._files[path] = path.open("rb")
                if len(self._files) > OPEN_FILES:
                    self._files.popitem(last=False)[1].close()
            file = self._files[path]
            file.seek(offset)
            return file.read(length)

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.popitem()[1].close()


class RowIndex:
    """The rows of one file by run. A missing file has none; a torn last line is left out.

    Args:
        path: of the file.
        table: its columns, as they are written now.
        files: keeps the file open between reads.
        unended_counts: whether a last line without its line end is kept apart instead of counting as torn.

    Attributes:
        table: the columns of the file, which an older version may have begun with fewer.
        torn: whether the last line is incomplete.
        missing: whether there is no such file.
        counts: the number of rows of each run.
        unended: the run of a last line that is complete but for its line end, which an editor may remove.
            Its cells are to be compared before it counts; only with `unended_counts`.
    """

    def __init__(self, path: Path, table: Table, files: OpenFiles, unended_counts: bool = False) -> None:
        self.path, self.table, self._files = path, table, files
        self._unended_counts = unended_counts
        self.unended: str | None = None
        self.torn = False
        self.missing = False
        self.counts: dict[str, int] = {}
        self._ranges: dict[str, array[int]] = {}  # run id -> offset, length, offset, length, ...
        self._scan()

    def _scan(self) -> None:
        ranges: dict[bytes, array[int]] = {}
        counts: dict[bytes, int] = {}
        forms = {form: line(form.names) for form in self.table.forms()}
        with explained(self.path, "read"):
            try:
                file = self.path.open("rb")
            except FileNotFoundError:
                self.missing = True
                return
            with file:
                first = file.readline(LONGEST_LINE)
                offset = len(first)
                if not first.endswith(b"\n"):  # the header was not written completely
                    if not any(header.startswith(first) for header in forms.values()):
                        raise garbage(self.path, 1, f"the header is not {forms[self.table].decode().strip()}")
                    self.torn = True
                    return
                found = self._form_of(first, list(forms))
                if found is None:
                    what = f"The header is not {forms[self.table].decode().strip()}"
                    raise garbage(self.path, 1, f"{saved_otherwise(first)}{what}")
                self.table = found
                for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), start=2):
                    if not raw.endswith(b"\n"):
                        if len(raw) >= LONGEST_LINE:
                            raise garbage(self.path, number, f"a line of more than {LONGEST_LINE} bytes")
                        if not self._unended_counts or problem(self.table, raw) is not None:
                            self.torn = True
                            break
                        self.unended = cells_of(raw)[0]
                    run_id = raw[: raw.find(b",")].strip(b'"')
                    known = ranges.get(run_id)
                    if known is None:
                        ranges[run_id] = array("q", (offset, len(raw)))
                        counts[run_id] = 0
                    elif known[-2] + known[-1] == offset:
                        known[-1] += len(raw)
                    else:
                        known.extend((offset, len(raw)))
                    counts[run_id] += 1
                    offset += len(raw)
        for key, known in ranges.items():
            name = key.decode("ascii", "backslashreplace")
            if not RUN_ID.fullmatch(name):
                raise self._garbage_at(known[0])
            self._ranges[name], self.counts[name] = known, counts[key]

    def _form_of(self, first: bytes, forms: Sequence[Table]) -> Table | None:
        """Return the form of the table that has this header."""
        try:
            names = cells_of(first.removeprefix(b"\xef\xbb\xbf"))
        except ValueError:
            return None
        return next((form for form in forms if form.names == names), None)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._ranges

    def run_ids(self) -> list[str]:
        """Return the runs in the order of their first rows."""
        return list(self._ranges)

    def last(self, run_id: str) -> list[str] | None:
        """Return the cells of a run's last row, None if it has no rows."""
        if run_id not in self._ranges:
            return None
        *_, offset, length = self._ranges[run_id]
        lines = self._read(offset, length)
        return self._cells(lines[lines.rfind(b"\n", 0, -1) + 1 :], run_id)

    def rows(self, run_id: str) -> list[list[str]]:
        """Return the cells of a run's rows by step; of rows with equal keys the last one counts."""
        names = self.table.names
        keys = [names.index(name) for name in self.table.key]
        found: dict[tuple[str, ...], list[str]] = {}
        for _, raw in self._lines(run_id):
            cells = self._cells(raw, run_id)
            found[tuple(cells[position] for position in keys)] = cells
        # The sort is stable: the rows of one step stay in the order of the file.
        return sorted(found.values(), key=lambda cells: int(cells[keys[0]]))

    def _lines(self, run_id: str) -> Iterator[tuple[int, bytes]]:
        known = self._ranges.get(run_id, array("q"))
        for offset, length in zip(known[::2], known[1::2], strict=True):
            for text in self._read(offset, length).split(b"\n")[:-1]:
                yield offset, text + b"\n"
                offset += len(text) + 1

    def _read(self, offset: int, length: int) -> bytes:
        data = self._files.read(self.path, offset, length)
        if len(data) != length:
            raise RecordsError(
                f"{self.path}: became shorter while it was read; another process writes it. Try again"
            )
        return data if data.endswith(b"\n") else data + b"\n"

    def _cells(self, raw: bytes, run_id: str) -> list[str]:
        what = problem(self.table, raw)
        if what is None:
            return cells_of(raw)
        offset = next(
            offset for offset, other in self._lines(run_id) if other.rstrip(b"\n") == raw.rstrip(b"\n")
        )
        raise self._garbage_at(offset)

    def _garbage_at(self, offset: int) -> RecordsError:
        """Return the error for the line at an offset; counts its line number."""
        with explained(self.path, "read"), self.path.open("rb") as file:
            number, left = 1, offset
            while left > 0:
                block = file.read(min(left, 1 << 20))
                if not block:
                    break
                number += block.count(b"\n")
                left -= len(block)
            raw = file.readline(LONGEST_LINE)
        return garbage(self.path, number, problem(self.table, raw) or "not a row of this table")

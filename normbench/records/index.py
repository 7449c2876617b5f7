"""Where the rows of each run are in a CSV file: byte ranges, so that only one run is in memory."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

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
_BLOCK = 1 << 20  # bytes that are read at a time
_LONGEST_ID = 66  # bytes of a run id with its quotes; what is longer is none


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
        forms = {form: line(form.names) for form in self.table.forms()}
        with explained(self.path, "read"):
            try:
                file = self.path.open("rb")
            except FileNotFoundError:
                self.missing = True
                return
            with file:
                first = file.readline(LONGEST_LINE)
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
                self._read_rows(file, len(first))
        for name, known in self._ranges.items():
            if not RUN_ID.fullmatch(name):
                raise self._garbage_at(known[0])

    def _read_rows(self, file: BinaryIO, offset: int) -> None:
        """Note where the rows of each run are; `offset` is the place of the first row, and of `file`."""
        rest, number = b"", 2
        while block := file.read(_BLOCK):
            text = rest + block
            end = text.rfind(b"\n") + 1
            if end:
                number += self._note(text[:end], offset, number)
            rest = text[end:]
            offset += end
            if len(rest) >= LONGEST_LINE:
                raise self._too_long(number)
        if not rest:
            return
        if self._unended_counts and problem(self.table, rest) is None:
            self.unended = cells_of(rest)[0]
            self._add(rest[: rest.find(b",")], offset, len(rest), 1)
        else:
            self.torn = True

    def _note(self, lines: bytes, offset: int, number: int) -> int:
        """Note where the rows of each run are in complete lines, and return how many lines these are.

        Args:
            lines: a part of the file.
            offset: its place in the file.
            number: of its first line.
        """
        text = np.frombuffer(lines, dtype=np.uint8)
        ends = np.flatnonzero(text == ord("\n")) + 1
        starts = np.concatenate(([0], ends[:-1]))
        too_long = np.flatnonzero(ends - starts > LONGEST_LINE)
        if len(too_long):
            raise self._too_long(number + int(too_long[0]))
        commas = np.append(np.flatnonzero(text == ord(",")), len(text))
        widths = np.minimum(commas[np.searchsorted(commas, starts)], ends - 1) - starts
        first = np.flatnonzero(_differ(text, starts, widths))
        stops = np.append(first[1:], len(starts))
        for row, stop in zip(first.tolist(), stops.tolist(), strict=True):
            start = int(starts[row])
            run_id = lines[start : start + int(widths[row])]
            self._add(run_id, offset + start, int(ends[stop - 1]) - start, stop - row)
        return len(starts)

    def _add(self, run_id: bytes, offset: int, length: int, rows: int) -> None:
        """Add consecutive rows of a run.

        Args:
            run_id: as it is in the file.
            offset: where the rows begin.
            length: of all of them, in bytes.
            rows: their number.
        """
        name = run_id.strip(b'"').decode("ascii", "backslashreplace")
        known = self._ranges.get(name)
        if known is None:
            self._ranges[name] = array("q", (offset, length))
        elif known[-2] + known[-1] == offset:
            known[-1] += length
        else:
            known.extend((offset, length))
        self.counts[name] = self.counts.get(name, 0) + rows

    def _too_long(self, number: int) -> RecordsError:
        return garbage(self.path, number, f"a line of more than {LONGEST_LINE} bytes")

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


def _differ(text: np.ndarray, starts: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return which lines begin with another run id than the line before, the first line always.

    Args:
        text: the bytes of all lines.
        starts: where each line begins.
        widths: the length of each run id.
    """
    places = np.arange(min(int(widths.max()), _LONGEST_ID))
    letters = text[np.minimum(starts[:, None] + places, len(text) - 1)]
    letters[places >= widths[:, None]] = 0
    same = (letters[1:] == letters[:-1]).all(axis=1) & (widths[1:] == widths[:-1])
    return np.concatenate(([True], ~same | (widths[1:] > _LONGEST_ID)))

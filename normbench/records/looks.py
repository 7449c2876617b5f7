"""looks.csv: at which seeds `run --decide` looked at each verdict, and what it found there.

That a look was taken is a fact about the experiment, which no other file tells: `verify` judges the result at
these looks. The numbers p can be computed again from the other records; they are kept to notice changes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from normbench.errors import RecordsError
from normbench.records.files import read_small, sentence
from normbench.records.schema import cells_of, text_value, write_csv
from normbench.stats.decide import Word
from normbench.stats.looks import LOOKS

FILE = "looks.csv"
COLUMNS = ("id", "group", "look", "n", "p", "word", "date", "seeds")
WORDS: tuple[str, ...] = get_args(Word)
_MEND = "take it back from a copy, or move the folder away and train again"


@dataclass(frozen=True)
class RecordedLook:
    """One look at one verdict.

    Attributes:
        id: of the claim.
        group: the values of `for_each` that the verdict is about, as in claims.csv.
        number: 1 for the first look at this verdict, and so on.
        seeds: that were looked at.
        p: the smallest alpha at which an interval decides; 1 if none does.
        word: what that interval says.
        date: UTC, ISO 8601.
    """

    id: str
    group: str
    number: int
    seeds: tuple[int, ...]
    p: float
    word: str
    date: str

    @property
    def key(self) -> tuple[str, str]:
        """Return what names the verdict among those of the experiment."""
        return self.id, self.group


def write_looks(root: Path, looks: Sequence[RecordedLook]) -> None:
    """Write looks.csv in one step."""
    rows = [
        (look.id, look.group, look.number, len(look.seeds), look.p, look.word, look.date, _text(look.seeds))
        for look in looks
    ]
    write_csv(root / FILE, COLUMNS, rows)


def read_looks(root: Path) -> list[RecordedLook]:
    """Return the looks of a results folder; none if it has no looks.csv.

    Raises:
        RecordsError: the file is damaged; the text names the line.
    """
    path = root / FILE
    try:
        lines = read_small(path).splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordsError(sentence(error, path, "read")) from error
    looks: list[RecordedLook] = []
    last: dict[tuple[str, str], RecordedLook] = {}
    longest: tuple[int, ...] = ()
    for number, raw in enumerate(lines, start=1):
        try:
            cells = cells_of(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
            if number > 1:
                look = _look(cells)
                _check_order(look, last.get(look.key), longest)
                longest = max(longest, look.seeds, key=len)
                last[look.key] = look
                looks.append(look)
            elif tuple(cells) != COLUMNS:
                raise ValueError(f"the header is not {','.join(COLUMNS)}")
        except ValueError as error:
            raise RecordsError(
                f"{path}:{number}: not a look that normbench wrote ({error}); {_MEND}"
            ) from None
    if not lines:
        raise RecordsError(f"{path}: it is empty; {_MEND}")
    return looks


def _look(cells: list[str]) -> RecordedLook:
    """Return the look in a line; ValueError if it is not one."""
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} cells, where the header has {len(COLUMNS)}")
    of = dict(zip(COLUMNS, map(text_value, cells), strict=True))
    seeds = tuple(_whole(seed) for seed in of["seeds"].split())
    look = RecordedLook(
        of["id"], of["group"], _whole(of["look"]), seeds, float(of["p"]), of["word"], of["date"]
    )
    if len(set(seeds)) < len(seeds) or _whole(of["n"]) != len(seeds):
        raise ValueError(f"n is {of['n']}, and there are {len(set(seeds))} different seeds")
    if len(seeds) not in LOOKS:
        raise ValueError(f"n is {of['n']}, and looks are taken at {', '.join(map(str, LOOKS))} seeds")
    if not 0 <= look.p <= 1 or math.isnan(look.p):
        raise ValueError(f"p is {of['p']}, not a number from 0 to 1")
    if look.word not in WORDS:
        raise ValueError(f"the word is '{look.word[:40]}', not one of {', '.join(WORDS)}")
    return look


def _check_order(look: RecordedLook, before: RecordedLook | None, longest: tuple[int, ...]) -> None:
    """Raise ValueError if a look does not follow the one before it, or has other seeds than those above."""
    number, n = (0, 0) if before is None else (before.number, len(before.seeds))
    if look.number != number + 1 or len(look.seeds) <= n:
        raise ValueError(f"look {look.number} at {len(look.seeds)} seeds does not follow the looks above it")
    shared = min(len(look.seeds), len(longest))
    if look.seeds[:shared] != longest[:shared]:
        raise ValueError("its seeds do not begin as those of the looks above it")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise ValueError(f"'{text[:40]}' is not a whole number")
    return int(text)


def _text(seeds: Sequence[int]) -> str:
    return " ".join(map(str, seeds))

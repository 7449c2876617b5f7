"""Tells the two meanings of an empty cell of a swept key apart: no such option, or the value null.

runs.csv does not say it. The recorded settings do: the cells of config.yaml are built again, as the training
had them, and each row finds its cell by its swept values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.records.schema import format_cell

if TYPE_CHECKING:
    import pandas as pd

COLUMN = (
    "lacks"  # of the runs: the swept keys that a run does not have, as `decided` has those that it decides
)


def lacking(
    runs: pd.DataFrame, swept: Sequence[str], config: Mapping[str, Any], path: Path
) -> tuple[pd.Series[Any], list[str]]:
    """Return which swept keys each run does not have, and notes on what the settings do not tell.

    Args:
        runs: rows of runs.csv.
        swept: the swept keys.
        config: the settings in config.yaml.
        path: of config.yaml, for messages.

    Returns:
        For each run, the keys as text, `none` if it has all of them. A run whose cell cannot be built lacks
        each key that is empty; a note says so.
    """
    import pandas as pd

    words = pd.Series("none", index=runs.index, dtype=object)
    some = runs.loc[runs[list(swept)].isna().any(axis=1), list(swept)]
    if some.empty:
        return words, []
    from normbench.config import cells_of  # lazily: it imports torch

    cells, problems = cells_of(config, str(path))
    known = {token(cell.values.get(key) for key in swept): cell.lacks for cell in cells}
    unknown: dict[str, None] = {}
    for place, *row in some.itertuples(name=None):
        empty = [key for key, value in zip(swept, row, strict=True) if pd.isna(value)]
        lacks = known.get(token(row))
        if lacks is None:
            unknown.update(dict.fromkeys(empty))
        found = [key for key in empty if lacks is None or key in lacks]
        words[place] = " ".join(found) or "none"
    if not unknown:
        return words, []
    why = f" ({problems[0]})" if problems else ""
    return words, [
        f"config.yaml does not give the cells of some runs{why}; where {', '.join(unknown)} is empty, they "
        "are taken to have no such option, and match every value of it"
    ]


def token(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the values of a cell as text that is equal before and after they are written."""
    return tuple(map(_text, values))


def _text(value: Any) -> str:
    text = format_cell(None if value != value else value)  # NaN
    try:
        return repr(float(text))
    except ValueError:
        return text

"""One run with all that the records have of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.analysis.settings import Flat, settings_of
from normbench.errors import NormbenchError, RecordsError, did_you_mean
from normbench.names import QUANTITIES
from normbench.records import read_layers, read_metrics, read_runs
from normbench.records.files import read_small, sentence
from normbench.records.parts import CRASHES

if TYPE_CHECKING:
    import pandas as pd

SHORTEST = 4  # characters of an id that may stand for the whole
CHOICES = 12  # ids that a message names


@dataclass(frozen=True)
class OneRun:
    """One run.

    Attributes:
        run_id: its id.
        folder: the results folder that it is in.
        row: of runs.csv; None for an empty cell.
        swept: the keys that the sweep varies.
        settings: all settings by dotted key.
        mates: how many runs trained in the same stack, itself included; 0 if the stack is not known.
        metrics: its rows of metrics.csv.
        layers: its rows of layers.csv.
        crash: the traceback of its crash; None if there is none.
        notes: sentences about what is missing or damaged.
    """

    run_id: str
    folder: Path
    row: dict[str, Any]
    swept: tuple[str, ...]
    settings: Flat
    mates: int
    metrics: pd.DataFrame
    layers: pd.DataFrame
    crash: str | None
    notes: list[str]

    @property
    def measured(self) -> list[str]:
        """Return the columns of the curves that have values."""
        return [name for name in QUANTITIES if self.metrics[name].notna().any()]


def find_run(folders: Sequence[Path], wanted: str, say: Callable[[str], None] = lambda _: None) -> OneRun:
    """Return the run with an id, or the only one whose id starts with these characters.

    Args:
        folders: of the experiments that are searched.
        wanted: the id, or at least its first four characters.
        say: hears about experiments that cannot be read.

    Raises:
        NormbenchError: no run has this id, or several begin with it.
    """
    found: dict[str, tuple[Path, pd.DataFrame]] = {}
    for folder in folders:
        try:
            runs = read_runs(folder)
        except RecordsError as error:
            if len(folders) == 1:
                raise
            say(str(error))  # the run may be in another one
            continue
        for run_id in runs["run_id"]:
            found.setdefault(str(run_id), (folder, runs))
    if wanted in found:
        matching = [wanted]
    else:
        matching = [one for one in found if len(wanted) >= SHORTEST and one.startswith(wanted)]
    if len(matching) > 1:
        raise NormbenchError(
            f"run '{wanted}': {len(matching):,} ids begin with it; write more of "
            f"{', '.join(matching[:CHOICES])}{', ...' if len(matching) > CHOICES else ''}"
        )
    if not matching:
        raise NormbenchError(
            f"run '{wanted}': none of the {len(found):,} runs in {_places(folders)} has this id; "
            f"{did_you_mean(wanted, found)}`normbench query RESULTS` lists all runs"
        )
    return _read(*found[matching[0]], matching[0])


def _places(folders: Sequence[Path]) -> str:
    named = ", ".join(map(str, folders[:3]))
    return f"{named} and {len(folders) - 3:,} more folders" if len(folders) > 3 else named


def _read(folder: Path, runs: pd.DataFrame, run_id: str) -> OneRun:
    """Return a run of a folder whose runs are read."""
    import pandas as pd

    notes = list(runs.attrs.pop("warnings"))
    columns = list(runs.columns)
    swept = tuple(columns[columns.index("seed") + 1 : columns.index("status")])
    own = runs[runs["run_id"] == run_id]
    ((settings,), more) = settings_of(own, swept, folder)
    record = own.to_dict("records")[0]
    row = {str(name): None if pd.isna(value) else value for name, value in record.items()}
    mates = int((runs["stack"] == row["stack"]).sum()) if row["stack"] is not None else 0
    metrics, layers = (
        frame[frame["run_id"] == run_id].drop(columns="run_id").reset_index(drop=True)
        for frame in (read_metrics(folder), read_layers(folder))
    )
    return OneRun(
        run_id, folder, row, swept, settings, mates, metrics, layers, _crash(folder, run_id), [*notes, *more]
    )


def _crash(folder: Path, run_id: str) -> str | None:
    path = folder / CRASHES / f"{run_id}.txt"
    try:
        return read_small(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordsError(sentence(error, path, "read")) from error

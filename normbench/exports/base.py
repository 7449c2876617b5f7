"""What an export is: the records of one experiment, and a target that writes them for another tool."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from normbench.analysis.settings import Flat, settings_of
from normbench.errors import NormbenchError
from normbench.records import read_layers, read_metrics, read_runs
from normbench.records.environment import read_sessions
from normbench.records.schema import METRICS, format_cell, runs_table
from normbench.registry import Named

if TYPE_CHECKING:
    import pandas as pd

Curve = tuple[np.ndarray, np.ndarray]  # steps and values


@dataclass(frozen=True)
class Source:
    """The records of one experiment as its CSV files have them, read when they are asked for.

    Attributes:
        folder: the results folder.
        say: hears sentences about what is missing or damaged.
    """

    folder: Path
    say: Callable[[str], None] = field(default=lambda _: None, compare=False)

    @property
    def name(self) -> str:
        """Return the name of the experiment, which is that of its folder."""
        return self.folder.resolve().name

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Return the rows of runs.csv."""
        runs = read_runs(self.folder)
        for sentence in runs.attrs.pop("warnings"):
            self.say(sentence)
        return runs

    @property
    def swept(self) -> tuple[str, ...]:
        """Return the swept keys, which are columns of `runs`."""
        columns = list(self.runs.columns)
        return tuple(columns[columns.index("seed") + 1 : columns.index("status")])

    @property
    def numbers(self) -> tuple[str, ...]:
        """Return the columns of runs.csv that hold results as numbers."""
        results = runs_table(()).columns
        return tuple(one.name for one in results if one.kind in ("int?", "float"))

    @cached_property
    def start(self) -> float:
        """Return when the training began, in seconds since 1970; 0 if environment.json does not say it."""
        sessions = read_sessions(self.folder)
        try:
            return datetime.fromisoformat(str(sessions[0]["start"]).replace("Z", "+00:00")).timestamp()
        except (IndexError, KeyError, ValueError):
            return 0.0

    @cached_property
    def settings(self) -> list[Flat]:
        """Return all settings of each run; see `settings_of`."""
        found, notes = settings_of(self.runs, self.swept, self.folder)
        for sentence in notes:
            self.say(sentence)
        return found

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Return the rows of metrics.csv."""
        return _without_attrs(read_metrics(self.folder))

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Return the rows of layers.csv; none if no probe was on."""
        return _without_attrs(read_layers(self.folder))

    def series(self) -> Iterator[Run]:
        """Yield each run with all numbers that were measured while it trained."""
        metrics = dict(tuple(self.metrics.groupby("run_id", observed=True)))
        layers = dict(tuple(self.layers.groupby("run_id", observed=True)))
        for place, row in enumerate(cast(list[dict[str, Any]], self.runs.to_dict("records"))):
            run_id = row["run_id"]
            curves = {}
            if (rows := metrics.get(run_id)) is not None:
                for column in METRICS.names[2:]:
                    curves[column] = (rows["step"].to_numpy(), rows[column].to_numpy())
            if (rows := layers.get(run_id)) is not None:
                for (layer, quantity), own in rows.groupby(["layer", "quantity"], observed=True):
                    curves[f"{layer}/{quantity}"] = (own["step"].to_numpy(), own["value"].to_numpy())
            known = {name: _known(*curve) for name, curve in curves.items()}
            results = {name: float(row[name]) for name in self.numbers if row[name] == row[name]}
            named = {key: row[key] for key in self.swept if row[key] is not None and row[key] == row[key]}
            yield Run(run_id, row, named, self.settings[place], results, known)


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        run_id: its id.
        row: of runs.csv.
        swept: its values of the swept keys, without those that it does not have.
        settings: all its settings.
        results: the numbers of `row`, without those that are not known.
        curves: steps and values of what was measured: the columns of metrics.csv by name, the rows of
            layers.csv by `layer/quantity`. Values that are not known are left out.
    """

    run_id: str
    row: dict[str, Any]
    swept: dict[str, Any]
    settings: Flat
    results: dict[str, float]
    curves: dict[str, Curve]

    @property
    def title(self) -> str:
        """Return the swept values and the seed as text: `model.norm=none, seed=0`."""
        values = {**self.swept, "seed": self.row["seed"]}
        return ", ".join(f"{key}={format_cell(value)}" for key, value in values.items())


def _known(steps: np.ndarray, values: np.ndarray) -> Curve:
    known = ~np.isnan(values)
    return steps[known], values[known]


class Target(Named, ABC):
    """What records are exported to: `write` makes the files of one experiment.

    Class attributes:
        modules: that are imported, and come with the extra of the target's name; empty: it needs no extra.
    """

    modules: ClassVar[tuple[str, ...]] = ()

    name: str = ""  # a target declares `name: Literal["its_name"] = "its_name"`

    @abstractmethod
    def write(self, sources: Sequence[Source], place: Path) -> Iterator[Path]:
        """Write the records of experiments, and yield each file or folder when it is complete.

        Exporting again to the same place replaces what was written of these experiments.

        Args:
            sources: the records of each experiment.
            place: the folder to write into; it is there.
        """

    @classmethod
    def refuse_missing(cls) -> None:
        """Raise NormbenchError if a package that the target needs cannot be imported."""
        for module in cls.modules:
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise NormbenchError(
                    f"--to {cls.key()}: {module} cannot be imported ({error}); "
                    f"pip install 'normbench[{cls.key()}]'"
                ) from error


def _without_attrs(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs.clear()  # the warnings are those of the runs
    return frame

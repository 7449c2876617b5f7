"""One experiment as tables, for everything that draws or judges: its runs, their curves, its config.

`records.frames` reads the files. This module adds what an analysis needs: settings of the config, outcomes
for another `trains_below`, and the position of each row's run. A sweep in progress reads like a finished one
whose other runs are not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.lacking import COLUMN as LACKS
from normbench.analysis.lacking import lacking
from normbench.errors import RecordsError
from normbench.names import (
    ACTIVATION,
    DROPOUT_PLACEMENT,
    DROPOUT_RATE,
    ENDED,
    MAX_SEEDS,
    POSITION,
    RATE,
    STEPS,
    TRAINS_BELOW,
    VARIANT,
)
from normbench.records import read_layers, read_metrics, read_runs
from normbench.records.config_file import read_config
from normbench.records.frames import no_rows
from normbench.records.looks import read_looks
from normbench.records.schema import METRICS
from normbench.stats.edge_search import refining_rates
from normbench.stats.outcome import outcome

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Tables:
    """One experiment as tables.

    Attributes:
        folder: the results folder.
        name: of the experiment.
        config: the settings in its config.yaml.
        runs: a row for each run, with the columns of runs.csv. The column `refining` marks the runs at rates
            between the scan points of a search for the edge; `lacks` names the swept keys that a run does not
            have, whose cells are empty (see `lacking`).
        metrics: a row for each evaluation, with the columns of metrics.csv. The column `run` is the position
            of the run in `runs`.
        swept: the swept keys, which are columns of `runs`.
        warnings: sentences about what is missing or damaged.
        notes: sentences about what the records do not tell and what is assumed instead.
        limits: for each run, the step after which its rows are left out; None: none is.
        earlier: when the records are read, if not at the end of the training.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    runs: pd.DataFrame
    metrics: pd.DataFrame
    swept: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    limits: np.ndarray | None = None
    earlier: str = ""

    def __repr__(self) -> str:
        """Return one line; the frames print themselves."""
        counts = f"{len(self.runs):,} runs, {len(self.metrics):,} rows of metrics"
        swept = f"swept: {', '.join(self.swept)}" if self.swept else "nothing swept"
        return f"<{type(self).__name__} {self.name}: {counts}, {swept}>"

    @property
    def title(self) -> str:
        """Return the title in the config, or the name."""
        return str(self.config.get("title") or self.name)

    @property
    def trains_below(self) -> float:
        """Return the share of the label entropy at or below which the loss of a run that trains lies."""
        return float(setting(self.config, TRAINS_BELOW, 0.5))

    @property
    def steps(self) -> str:
        """Return the length of the runs as text: `1,000 steps`."""
        planned = setting(self.config, STEPS)
        if planned is not None and STEPS not in self.varied:
            return f"{int(planned):,} steps"
        done = self.runs.loc[self.runs["status"] == "finished", "steps"].dropna()
        if not len(done):
            return "steps unknown"
        low, high = int(done.min()), int(done.max())
        return f"{high:,} steps" if low == high else f"{low:,} to {high:,} steps"

    @property
    def varied(self) -> tuple[str, ...]:
        """Return the swept keys in which the runs differ."""
        return tuple(k for k in self.swept if self.runs[k].nunique(dropna=False) > 1)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """Return what the probes measured, see `load_layers`; read on first use."""
        found = load_layers(self)
        return found if self.limits is None else until(found, self.limits)


def setting(config: dict[str, Any], key: str, default: Any = None) -> Any:
    """Return the value of a dotted key in a config; `section: x` is short for `section: {name: x}`."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict):
            return node if part == "name" and node is not None else default
        if part not in node:
            return default
        node = node[part]
    if isinstance(node, dict):
        return node.get("name", default)
    return default if node is None else node


def load_tables(
    folder: Path | str, trains_below: float | None = None, without_damaged_metrics: bool = False
) -> Tables:
    """Return the tables of one experiment's folder.

    Args:
        folder: the results folder.
        trains_below: judge the outcomes again with this value instead of the config's.
        without_damaged_metrics: if metrics.csv cannot be read, return no curves and a warning.

    Raises:
        RecordsError: a file is missing or damaged, or no run has ended.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordsError(f"{folder}: no such folder; 'normbench run CONFIG' writes results/<name>/")
    config = read_config(folder / "config.yaml")
    _check_config(config, folder / "config.yaml")
    config = _with_seeds_of_looks(config, folder)
    runs = _of_named_seeds(read_runs(folder), config)
    if runs.empty:
        raise RecordsError(
            f"{folder}: no run has ended yet, so there is nothing to show; wait for the first one"
        )
    columns = list(runs.columns)
    swept = tuple(columns[columns.index("seed") + 1 : columns.index("status")])
    if trains_below is not None:
        section = config.get("train")
        config = {
            **config,
            "train": {**(section if isinstance(section, dict) else {}), "trains_below": trains_below},
        }
    runs = _judge(runs, config, again=trains_below is not None)
    runs["refining"] = _refining(runs, config, folder)
    notes: list[str] = []
    if runs["decided"].isna().any():
        decided, notes = _decided(runs)
        runs["decided"] = runs["decided"].fillna(decided)
    runs[LACKS], untold = lacking(runs, swept, config, folder / "config.yaml")
    notes += untold
    warnings = list(runs.attrs.pop("warnings"))
    try:
        metrics = read_metrics(folder)
    except RecordsError as error:
        if not without_damaged_metrics:
            raise
        metrics = no_rows(METRICS)
        warnings.append(str(error))
    name = str(config.get("name") or folder.name)
    metrics = _by_position(metrics, runs)
    return Tables(folder, name, config, runs, metrics, swept, tuple(warnings), tuple(notes))


def _with_seeds_of_looks(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the config with the seeds that looks of `run --decide` were taken at, which stay part of it."""
    seeds, looked = config.get("seeds"), [seed for look in read_looks(folder) for seed in look.seeds]
    if seeds is None or not looked:
        return config
    named = range(seeds) if isinstance(seeds, int) else seeds
    return {**config, "seeds": list(dict.fromkeys([*named, *looked]))}


def of_seeds(tables: Tables, seeds: Sequence[int]) -> Tables:
    """Return the tables as they are if only these seeds were trained."""
    kept = tables.runs["seed"].isin(seeds).to_numpy()
    places = np.cumsum(kept) - 1
    mine = kept[tables.metrics["run"].to_numpy()]
    metrics = tables.metrics[mine].reset_index(drop=True)
    metrics["run"] = places[metrics["run"].to_numpy()].astype("int32")
    runs = tables.runs[kept].reset_index(drop=True)
    return replace(tables, runs=runs, metrics=metrics, config={**tables.config, "seeds": list(seeds)})


def _of_named_seeds(runs: pd.DataFrame, config: dict[str, Any]) -> pd.DataFrame:
    """Return the runs whose seeds the config names; those of other seeds are kept for another day."""
    seeds = config.get("seeds")
    if seeds is None:
        return runs
    named = runs["seed"].isin(range(seeds) if isinstance(seeds, int) else seeds)
    return runs if named.all() else runs[named].reset_index(drop=True)


def _check_config(config: dict[str, Any], path: Path) -> None:
    """Raise RecordsError if a setting that the analysis reads is not a number: the file was edited."""
    mend = "run the config again to restore it"
    for key in (TRAINS_BELOW, STEPS):
        value = setting(config, key)
        if value is not None and not (_is_number(value) and 0 < value < 2**53):
            raise RecordsError(f"{path}: {key}: {str(value)[:60]!r} is not a number above 0; {mend}")
    seeds = config.get("seeds")
    if isinstance(seeds, list) and all(_is_whole(seed) for seed in seeds):
        return
    if seeds is not None and not (_is_whole(seeds) and seeds <= MAX_SEEDS):
        raise RecordsError(
            f"{path}: seeds: {str(seeds)[:60]!r} is neither a number of seeds nor a list of them; {mend}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _refining(runs: pd.DataFrame, config: dict[str, Any], folder: Path) -> pd.Series[bool]:
    """Return which runs refine the edge of a single seed. Comparisons of rates over seeds leave them out."""
    import pandas as pd

    try:
        between = refining_rates(config.get("sweep"))
    except (KeyError, TypeError, ValueError) as error:
        text = f"{folder / 'config.yaml'}: sweep: {RATE}: not an edge that can be searched ({error!r})"
        raise RecordsError(f"{text}; run the config again to restore it") from error
    none = pd.Series(False, index=runs.index)
    return runs[RATE].isin(between) if between and RATE in runs.columns else none


def _decided(runs: pd.DataFrame) -> tuple[pd.Series[Any], list[str]]:
    """Return which swept keys each run decides, for records of version 0.1, which do not say it, and notes.

    The normalizations are asked with their default options. One that cannot be asked decides nothing; a note
    names it.
    """
    import pandas as pd

    notes: list[str] = []
    keys = pd.Series("none", index=runs.index, dtype=object)
    if {ACTIVATION, POSITION} & set(runs.columns) and VARIANT in runs.columns:
        found = {name: _sets(name) for name in sorted(set(runs[VARIANT].dropna()))}
        for name, sets in found.items():
            keys[runs[VARIANT] == name] = " ".join(key for key in sets or () if key in runs.columns) or "none"
        unknown = ", ".join(name for name, sets in found.items() if sets is None)
        if unknown:
            notes.append(f"what norm {unknown} decides is not recorded: taken to decide no swept key")
    if {DROPOUT_RATE, DROPOUT_PLACEMENT} <= set(runs.columns):
        nowhere = runs[DROPOUT_PLACEMENT] == "none"
        keys[nowhere] = keys[nowhere].str.replace("none", "") + f" {DROPOUT_RATE}"
    return keys, notes


def _sets(name: str) -> tuple[str, ...] | None:
    """Return the keys that a normalization with default options sets, or None if it cannot be asked."""
    from normbench.norms import NORMS  # lazily: it imports torch

    if name not in NORMS:
        return None
    try:
        return tuple(NORMS[name](name=name).sets())
    except ValueError:  # of pydantic: an option has no default
        return None


def _judge(runs: pd.DataFrame, config: dict[str, Any], again: bool) -> pd.DataFrame:
    """Return the runs with the outcomes that the records lack, or with all outcomes judged again."""
    todo = runs["status"].isin(ENDED)
    if not again:
        todo &= runs["outcome"].isna()
    if not todo.any():
        return runs
    below = float(setting(config, TRAINS_BELOW, 0.5))
    cells = runs.loc[todo, ["train_loss_last_tenth", "label_entropy", "status"]]
    judged = [
        outcome(loss, entropy, below, status) for loss, entropy, status in cells.itertuples(index=False)
    ]
    runs = runs.copy()
    values = runs["outcome"].astype(object)
    values[todo] = judged
    runs["outcome"] = values.where(values.notna(), None)
    return runs


def load_layers(tables: Tables) -> pd.DataFrame:
    """Return what the probes measured, with `run` as in `Tables.metrics`; no rows if no probe was on."""
    return _by_position(read_layers(tables.folder), tables.runs)


def _by_position(rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Add the position of each row's run in `runs`; rows of other runs are left out."""
    codes = rows["run_id"].cat.set_categories(runs["run_id"]).cat.codes
    rows.insert(0, "run", codes.astype("int32"))
    rows["run_id"] = rows["run_id"].astype(runs["run_id"].dtype)  # plain text: categories differ by folder
    rows.attrs.clear()
    known = rows["run"] >= 0
    return rows if known.all() else rows[known].reset_index(drop=True)


def until(rows: pd.DataFrame, limits: np.ndarray) -> pd.DataFrame:
    """Return the rows of each run up to its limit."""
    return rows[rows["step"].to_numpy() <= limits[rows["run"].to_numpy()]].reset_index(drop=True)


def seeds_of(tables: Tables) -> Sequence[int]:
    """Return the seeds in the config, or those of the runs if it has none."""
    seeds = tables.config.get("seeds")
    if isinstance(seeds, list):
        return [int(seed) for seed in seeds]
    return range(seeds) if isinstance(seeds, int) else sorted(set(tables.runs["seed"].tolist()))


def in_order(column: pd.Series[Any]) -> Sequence[Any]:
    """Return the distinct values: numbers ascending, words in the config's order, the missing one last."""
    values = column.dropna()
    if values.dtype.kind in "iuf":
        ordered = sorted(values.unique().tolist())
    else:
        ordered = list(dict.fromkeys(values.tolist()))
    return [*ordered, None] if column.isna().any() else ordered

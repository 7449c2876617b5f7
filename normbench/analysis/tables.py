"""Reads one experiment's folder for everything that draws or judges: the runs, their curves, the config.

A sweep in progress reads like a finished one whose other runs are not there yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.errors import RecordsError
from normbench.names import MAX_SEEDS, QUANTITIES, RATE
from normbench.records.config_file import read_config
from normbench.stats.edge_search import refining_rates
from normbench.stats.outcome import outcome

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

QUOTED = r"^'(?=[=+\-@'\t\r ])"  # what the records put before a word that a spreadsheet would compute
CURVES = ["step", "epoch", *QUANTITIES]  # of metrics.csv
NUMBERS = [
    *("steps", "diverged_at_step", "train_loss_last_tenth", "label_entropy", "parameters", "train_seconds"),
    *(f"{which}_{name}" for which in ("final", "best") for name in QUANTITIES),
]


@dataclass(frozen=True)
class Tables:
    """One experiment as tables: `runs` (a row for each run), `metrics` (run and evaluation), its config.

    The column `refining` of `runs` marks the rates between the scan points of a search for the edge.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    runs: pd.DataFrame
    metrics: pd.DataFrame
    swept: tuple[str, ...]  # the swept keys, which are columns of `runs`
    warnings: tuple[str, ...] = ()  # sentences: what is missing or was damaged

    @property
    def title(self) -> str:
        """Return the title that the config gives, else the name."""
        return str(self.config.get("title") or self.name)

    @property
    def trains_below(self) -> float:
        """Return the share of the label entropy below which a run counts as one that trains."""
        return float(setting(self.config, "train.trains_below", 0.5))

    @property
    def steps(self) -> str:
        """Return how long the runs are, as text: `1,000 steps`."""
        planned = setting(self.config, "train.steps")
        if planned is not None and "train.steps" not in self.varied:
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
        """Return what the probes measured, as `load_layers`, read once when it is first asked for."""
        return load_layers(self)


def setting(config: dict[str, Any], key: str, default: Any = None) -> Any:
    """Return the value of a dotted key; `section: x` is short for `section: {name: x}`."""
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
    """Read one experiment's folder; another `trains_below` judges the outcomes again, without training.

    `without_damaged_metrics`: where metrics.csv cannot be read there are no curves, and a warning says so.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordsError(f"{folder}: no such folder; 'normbench run CONFIG' writes results/<name>/")
    config = read_config(folder / "config.yaml")
    _check_config(config, folder / "config.yaml")
    runs = _read_runs(folder)
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
    warnings = list(runs.attrs.pop("warnings", []))
    try:
        metrics = _read_metrics(folder, runs["run_id"])
    except RecordsError as error:
        if not without_damaged_metrics:
            raise
        metrics = _no_metrics()
        warnings.append(str(error))
    name = str(config.get("name") or folder.name)
    return Tables(folder, name, config, runs, metrics, swept, tuple(warnings))


def _check_config(config: dict[str, Any], path: Path) -> None:
    """Raise where a number that is read from the config on the way is none: the file was changed."""
    mend = "run the config again to restore it"
    for key in ("train.trains_below", "train.steps"):
        value = setting(config, key)
        if value is not None and not (_is_number(value) and 0 < value < 2**53):
            raise RecordsError(f"{path}: {key}: {str(value)[:60]!r} is no number above 0; {mend}")
    seeds = config.get("seeds")
    if isinstance(seeds, list) and all(_is_whole(seed) for seed in seeds):
        return
    if seeds is not None and not (_is_whole(seeds) and seeds <= MAX_SEEDS):
        raise RecordsError(
            f"{path}: seeds: {str(seeds)[:60]!r} is no number of seeds and no list of them; {mend}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _refining(runs: pd.DataFrame, config: dict[str, Any], folder: Path) -> pd.Series[bool]:
    """Return which runs refine the edge of a single seed: what compares rates over seeds leaves them out."""
    import pandas as pd

    try:
        between = refining_rates(config.get("sweep"))
    except (KeyError, TypeError, ValueError) as error:
        text = f"{folder / 'config.yaml'}: sweep: {RATE}: no edge that can be searched ({error!r})"
        raise RecordsError(f"{text}; run the config again to restore it") from error
    none = pd.Series(False, index=runs.index)
    return runs[RATE].isin(between) if between and RATE in runs.columns else none


def _read_runs(folder: Path) -> pd.DataFrame:
    import pandas as pd

    raw = _from_records("read_runs", folder)
    if raw is None:
        path = folder / "runs.csv"
        if not path.is_file():
            raise RecordsError(f"{path}: not there; 'normbench run' writes it when the first runs end")
        # Everything as text first: `none`, `off` and `nan` in a swept column are words.
        raw = _csv(path, ["run_id", "seed", "status"], dtype=str, keep_default_na=False)
    _check_identity(raw, folder / "runs.csv")
    runs = raw.copy()
    columns = list(runs.columns)
    for name in columns:
        if name in NUMBERS:
            runs[name] = pd.to_numeric(runs[name], errors="coerce").astype("float64")
        elif name == "seed":
            runs[name] = pd.to_numeric(runs[name]).astype("int64")
        else:
            runs[name] = _scalar_column(runs[name])
    for name in NUMBERS:
        if name not in runs.columns:
            runs[name] = float("nan")
    if "outcome" not in runs.columns:
        runs["outcome"] = None
    return runs.reset_index(drop=True)


def _check_identity(raw: pd.DataFrame, path: Path) -> None:
    """Raise where a row could not be told from another, or has no seed: the file was changed."""
    import pandas as pd

    mend = "run the config again to restore it"
    if "run_id" in raw and raw["run_id"].duplicated().any():
        raise RecordsError(f"{path}: run_id: some run has two rows; {mend}")
    if "seed" in raw:
        seeds = pd.to_numeric(raw["seed"], errors="coerce")
        if not (seeds.between(0, 2**53) & (seeds % 1 == 0)).all():
            raise RecordsError(f"{path}: seed: found something else than whole numbers; {mend}")


def _scalar_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return numbers where all filled cells are numbers, else text; empty cells become NaN or None."""
    import pandas as pd

    if column.name in ("run_id", "status", "outcome", "stack", "executor"):  # a hash may look like 12e4
        return column.astype(object).where(column.notna() & (column != ""), None)
    filled = column[column.notna() & (column.astype(str) != "")]
    if not len(filled):
        return pd.Series([None] * len(column), index=column.index, dtype=object, name=column.name)
    if pd.api.types.is_bool_dtype(filled):
        return filled.astype(str).str.lower().astype(object).reindex(column.index)
    numbers = pd.to_numeric(filled, errors="coerce")
    if numbers.notna().all():
        return numbers.astype("float64").reindex(column.index) if len(filled) < len(column) else numbers
    words = filled.astype(str).str.replace(QUOTED, "", regex=True).astype(object).reindex(column.index)
    return words.where(words.notna(), None)


def _judge(runs: pd.DataFrame, config: dict[str, Any], again: bool) -> pd.DataFrame:
    """Fill in the outcomes that the records do not have, or all of them."""
    todo = runs["status"].isin(["finished", "diverged"])
    if not again:
        todo &= runs["outcome"].isna()
    if not todo.any():
        return runs
    key = "train.trains_below"
    below = runs[key] if key in runs.columns and not again else None
    default = float(setting(config, key, 0.5))
    judged = [
        outcome(loss, entropy, default if below is None else float(below[i]), status)
        for i, loss, entropy, status in runs.loc[
            todo, ["train_loss_last_tenth", "label_entropy", "status"]
        ].itertuples()
    ]
    runs = runs.copy()
    values = runs["outcome"].astype(object)
    values[todo] = judged
    runs["outcome"] = values.where(values.notna(), None)
    return runs


def _no_metrics() -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    return pd.DataFrame({"run": np.empty(0, "int32"), **{name: np.empty(0, "float32") for name in CURVES}})


def _read_metrics(folder: Path, run_ids: pd.Series[Any]) -> pd.DataFrame:
    """Return the curves, with `run` = the position of the run in `runs` in place of its id (compact)."""
    import numpy as np
    import pandas as pd

    raw = _from_records("read_metrics", folder)
    if raw is None:
        path = folder / "metrics.csv"
        if not path.is_file():
            return _no_metrics()
        kinds: dict[str, str] = {"run_id": "category", "step": "int64", "epoch": "float32"}
        kinds.update(dict.fromkeys(QUANTITIES, "float32"))
        wanted = set(kinds)
        raw = _csv(path, ["run_id", "step"], dtype=kinds, usecols=lambda c: c in wanted)
    run = _positions(raw["run_id"].astype("category"), run_ids)
    table = pd.DataFrame({"run": run})
    for name in CURVES:
        kind = "int64" if name == "step" else "float32"
        table[name] = raw[name].to_numpy(kind, copy=False) if name in raw.columns else np.float32("nan")
    return table[table["run"] >= 0].reset_index(drop=True)


def load_layers(tables: Tables) -> pd.DataFrame:
    """Return what the probes measured, with `run` as in `metrics`; no rows where none was on."""
    import pandas as pd

    path = tables.folder / "layers.csv"
    words = ["run_id", "layer", "quantity"]  # few and often repeated: as categories
    raw = _from_records("read_layers", tables.folder)
    if raw is None:
        kinds = {**dict.fromkeys(words, "category"), "step": "int64", "value": "float64"}
        raw = _csv(path, list(kinds), dtype=kinds) if path.is_file() else pd.DataFrame(columns=list(kinds))
    table = raw.astype(dict.fromkeys(words, "category"))
    table.insert(0, "run", _positions(table.pop("run_id"), tables.runs["run_id"]))
    return table.loc[table["run"] >= 0, ["run", "step", *words[1:], "value"]].reset_index(drop=True)


def _positions(ids: pd.Series[Any], run_ids: pd.Series[Any]) -> np.ndarray:
    """Return for each id (a category) the position of its run in `runs`, -1 for a run that is not there."""
    import numpy as np
    import pandas as pd

    found = pd.Index(run_ids).get_indexer(pd.Index(ids.cat.categories.astype(str)))
    codes = ids.cat.codes.to_numpy()
    return np.where(codes < 0, -1, np.append(found, -1)[codes]).astype("int32")


def _csv(path: Path, needed: Sequence[str], **options: Any) -> pd.DataFrame:
    """Read a whole file; RecordsError if it is no CSV, or a column that is `needed` is not there."""
    import pandas as pd

    mend = "move it aside and run the config again"
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except (ValueError, OverflowError) as error:  # of pandas' parser, of its types, of UTF-8
        raise RecordsError(f"{path}: damaged ({error}); {mend}") from error
    if missing := [name for name in needed if name not in table.columns]:
        raise RecordsError(f"{path}: columns missing: {', '.join(missing)}; {mend}")
    return table


def _from_records(function: str, folder: Path) -> pd.DataFrame | None:
    """Return what `normbench.records` reads where a sweep is in progress or was cut off, else None.

    Its reader joins the parts and heals, line by line; whole files are read here, at pandas' speed.
    """
    whole = all(_ends_with_a_line(folder / name) for name in ("runs.csv", "metrics.csv", "layers.csv"))
    parts = folder / "parts"
    if whole and not (parts.is_dir() and any(parts.iterdir())):
        return None
    from normbench import records

    read: pd.DataFrame = getattr(records, function)(folder)
    return read


def _ends_with_a_line(path: Path) -> bool:
    """Return whether a file is absent or empty, or its last line is whole."""
    if not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"


def seeds_of(tables: Tables) -> Sequence[int]:
    """Return the seeds that the config asks for; those of the runs where it does not say."""
    seeds = tables.config.get("seeds")
    if isinstance(seeds, list):
        return [int(seed) for seed in seeds]
    return range(seeds) if isinstance(seeds, int) else sorted(set(tables.runs["seed"].tolist()))


def in_order(column: pd.Series[Any]) -> Sequence[Any]:
    """Return the distinct values: numbers ascending, words in the config's order, the empty one last."""
    values = column.dropna()
    if values.dtype.kind in "iuf":
        ordered = sorted(values.unique().tolist())
    else:
        ordered = list(dict.fromkeys(values.tolist()))
    return [*ordered, None] if column.isna().any() else ordered

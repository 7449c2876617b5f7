"""Sorts runs into variants: the keys that tell them apart, the best learning rate of each, its edge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.lacking import COLUMN as LACKS
from normbench.analysis.tables import Tables, in_order
from normbench.names import DROPOUT_PLACEMENT, DROPOUT_RATE, FAILED, RATE, VARIANT
from normbench.stats.outcome import Edge, largest_trained_rate

if TYPE_CHECKING:
    import pandas as pd

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Levels:
    """The distinct values of some keys among the runs, in a stable order, and which one each run has."""

    keys: Keys
    values: tuple[tuple[Any, ...], ...]  # one value for each key
    labels: tuple[str, ...]
    codes: np.ndarray  # for each run, the position in `values`

    def __len__(self) -> int:
        return len(self.values)


def number(value: Any) -> str:
    """Return a value as short text: three digits for a float, the word itself for a word."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "none"
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e6:
        return str(int(value))
    text = f"{float(value):.3g}"
    if "e" in text and 1e-4 <= abs(value) < 1e6:
        return f"{float(value):f}".rstrip("0").rstrip(".")
    return text.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def short_key(key: str) -> str:
    """Return a key as it stands in labels: its last part, the section added where that alone says nothing."""
    special = {RATE: "learning rate", VARIANT: "norm"}
    parts = key.split(".")
    return special.get(key) or (
        " ".join(parts[-2:]) if parts[-1] in ("name", "rate", "scheme") else parts[-1]
    )


def is_log_axis(key: str, values: Sequence[Any]) -> bool:
    """Return whether an axis of these values is logarithmic: rates, and numbers that span decades."""
    if not values or not all(isinstance(v, (int, float)) and v > 0 for v in values):
        return False
    return key == RATE or (len(values) > 3 and max(values) / min(values) > 30)


def variant_keys(tables: Tables) -> Keys:
    """Return the keys that name a variant: the normalization with its options, or the first other key."""
    varied = tables.varied
    own = tuple(k for k in varied if k == VARIANT or k.startswith(VARIANT + "."))
    if own:
        return own
    others = [k for k in varied if k != RATE]
    words = [k for k in others if tables.runs[k].dtype == object]
    return tuple((words or others)[:1])


def levels(runs: pd.DataFrame, keys: Sequence[str], named: bool = False) -> Levels:
    """Return the distinct combinations of the keys; `named` puts the key before its value in the labels."""
    if not keys:
        return Levels((), ((),), ("all runs",), np.zeros(len(runs), dtype=int))
    combined = np.zeros(len(runs), dtype=np.int64)
    orders: list[list[Any]] = []
    for key in keys:
        order = list(in_order(runs[key]))
        places = {value: i for i, value in enumerate(order)}
        code = runs[key].map(places)
        if order and order[-1] is None:
            code = code.fillna(len(order) - 1)
        combined = combined * len(order) + code.to_numpy(dtype=np.int64)
        orders.append(order)
    present, codes = np.unique(combined, return_inverse=True)
    values = []
    for flat in present.tolist():
        row: list[Any] = []
        for order in reversed(orders):
            flat, place = divmod(flat, len(order))
            row.append(order[place])
        values.append(tuple(reversed(row)))
    labels = _distinct_labels(tuple(keys), values, named)
    return Levels(tuple(keys), tuple(values), labels, codes)


def _distinct_labels(keys: Keys, values: list[tuple[Any, ...]], named: bool) -> tuple[str, ...]:
    labels = [label(keys, row, named) for row in values]
    if len(set(labels)) < len(labels):  # three digits do not tell them apart
        labels = [label(keys, row, named, full=True) for row in values]
    return tuple(labels)


def label(keys: Keys, row: Iterable[Any], named: bool = False, full: bool = False) -> str:
    """Return the name of one combination: `batchnorm, eps 0.001`. An option that it lacks is left out.

    Args:
        keys: the dotted keys.
        row: a value for each key.
        named: whether the key stands before its value.
        full: whether numbers are written with all digits.
    """
    parts = []
    for key, value in zip(keys, row, strict=True):
        if value is None and len(keys) > 1:
            continue
        text = str(value) if full else number(value)
        bare = (key == VARIANT and not (named and value == "none")) or (not named and len(keys) == 1)
        parts.append(text if bare else f"{short_key(key)} {text}")
    return ", ".join(parts) or "none"


def spread(runs: pd.DataFrame, swept: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """Repeat the runs that decide a swept key themselves under each value that other runs have of it.

    SELU decides the activation, a normalization without a layer has no position, no dropout has no rate.
    Next to nets that choose these keys such runs belong in every panel, not in one of their own. The records
    say which keys a run decides (`decided`); a single value of another key may be the user's choice.

    Args:
        runs: rows of runs.csv.
        swept: the swept keys.

    Returns:
        The runs, and a sentence for each key whose runs were repeated.
    """
    import pandas as pd

    notes = []
    for key in swept:
        own = mentions(runs, "decided", key)
        common = in_order(runs.loc[~own & ~mentions(runs, LACKS, key), key])
        fixed = in_order(runs.loc[own, key])
        if not len(fixed) or not len(common) or list(common) == list(fixed):
            continue
        names = _deciders(runs[own], key)
        copies = copies_of(runs[own], key, common)
        # In the order of the rows: it gives words theirs, so that a legend is the same without the copies.
        runs = pd.concat([runs[~own], *copies]).sort_index(kind="stable").reset_index(drop=True)
        notes.append(f"{short_key(key)} is fixed for {names}: shown with each {short_key(key)}")
    return runs, notes


def mentions(runs: pd.DataFrame, column: str, key: str) -> np.ndarray:
    """Return which runs name a key in `decided` or `lacks`, a column of keys with spaces between them."""
    known = {text: key in text.split() for text in runs[column].unique()}
    return runs[column].map(known).to_numpy(bool)


def copies_of(runs: pd.DataFrame, key: str, values: Sequence[Any]) -> list[pd.DataFrame]:
    """Return the runs once for each value of a key; null is NaN beside numbers, so that they stay numbers."""
    numbers = any(isinstance(value, (int, float)) for value in values)
    plain = [np.nan if value is None and numbers else value for value in values]
    return [runs.assign(**{key: value}) for value in plain]


def _deciders(runs: pd.DataFrame, key: str) -> str:
    """Return what decides a key in these runs: `norm selu`, `dropout placement none`."""
    owner, word = (DROPOUT_PLACEMENT, "dropout placement") if key == DROPOUT_RATE else (VARIANT, "norm")
    if owner not in runs.columns:
        return "some variants"
    return f"{word} {', '.join(map(str, in_order(runs[owner])))}"


def score(runs: pd.DataFrame) -> tuple[pd.Series[Any], str]:
    """Return what 'best' means, higher is better, and its name; a run that failed counts as `or_chance` says.

    So a rate at which some seeds crash is not the best because of the other seeds alone.
    """
    for column in ("final_val_accuracy", "final_test_accuracy", "final_train_accuracy"):
        if runs[column].notna().any():
            return or_chance(runs, column), column.replace("_", " ")
    failed = runs["outcome"].isin(FAILED)
    loss = -runs["train_loss_last_tenth"]
    return loss.where(~failed, -np.inf), "train loss"


def or_chance(runs: pd.DataFrame, column: str) -> pd.Series[Any]:
    """Return a column of accuracies, in which a diverged run has that of guessing, and a crashed one 0.

    Guessing is right once in as many cases as the entropy of the labels stands for classes.
    """
    chance = np.exp(-runs["label_entropy"].astype(float)).fillna(0.0)
    values = runs[column].where(runs["outcome"] != "diverged", chance)
    return values.where(runs["outcome"] != "crashed", 0.0)


def crashes(runs: pd.DataFrame) -> str:
    """Return `crashed 2 of 5` for the runs of a cell; empty if none crashed."""
    count = int((runs["outcome"] == "crashed").sum())
    return f"crashed {count:,} of {len(runs):,}" if count else ""


def refining(runs: pd.DataFrame) -> np.ndarray:
    """Return which runs only refine the edge of one cell and seed (tables made by hand have none)."""
    return runs["refining"].to_numpy(bool) if "refining" in runs.columns else np.zeros(len(runs), dtype=bool)


def best_rates(runs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return for each combination of the keys the rate with the best mean score over seeds.

    Columns: group (the combination's code), rate, score, edge ('low' or 'high' where the best rate ends the
    grid and trains, else ''). Without a rate axis: one row for each combination, its rate NaN. With a search
    for the edge the rates of its scan alone: the best of rates that single seeds have would be the luckiest.
    """
    import pandas as pd

    groups = levels(runs, keys)
    values, _ = score(runs)
    rate = runs[RATE].astype(float) if RATE in runs.columns else pd.Series(np.nan, index=runs.index)
    table = pd.DataFrame(
        {
            "group": groups.codes,
            "rate": rate.to_numpy(),
            "score": values.to_numpy(),
            "trains": (runs["outcome"] == "trains").to_numpy(),
        }
    )
    table = table[table["score"].notna() & ~refining(runs)]
    means = table.groupby(["group", "rate"], dropna=False, as_index=False).agg(
        {"score": "mean", "trains": "any"}
    )
    limits = means.groupby("group")["rate"].agg(["min", "max"])
    best = means.sort_values(["group", "score", "rate"], ascending=[True, False, True]).drop_duplicates(
        "group"
    )
    low = limits.loc[best["group"], "min"].to_numpy()
    high = limits.loc[best["group"], "max"].to_numpy()
    rates = best["rate"].to_numpy()
    settled = (low == high) | ~best["trains"].to_numpy(bool)
    edge = np.where(settled, "", np.where(rates == high, "high", np.where(rates == low, "low", "")))
    return best.assign(edge=edge).reset_index(drop=True)


def at_best_rate(runs: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the runs at the best rate of their group, with the columns `group`, `rate` and `edge`."""
    best = best_rates(runs, keys)
    groups = levels(runs, keys)
    table = runs.assign(group=groups.codes).merge(best[["group", "rate", "edge"]], on="group")
    if RATE not in runs.columns:
        return table
    return table[table[RATE] == table["rate"]].reset_index(drop=True)


def edges(runs: pd.DataFrame, keys: Sequence[str]) -> dict[int, dict[int, Edge | None]]:
    """Return for each combination of the keys (its code) and seed where the rates stop training.

    Seeds of which no run has an outcome yet are absent. The keys must tell all cells apart but for the rate.
    """
    groups = levels(runs, keys)
    found: dict[int, dict[int, Edge | None]] = {}
    table = runs.assign(group=groups.codes)[["group", "seed", RATE, "outcome"]]
    table = table[table["outcome"].notna()]
    for (group, seed), part in table.groupby(["group", "seed"]):
        found.setdefault(int(group), {})[int(seed)] = largest_trained_rate(
            part[RATE].to_numpy(float), part["outcome"].tolist()
        )
    return found

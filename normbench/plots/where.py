"""Narrows an experiment to the runs that the user wants drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables, in_order
from normbench.analysis.variants import mentions, number, short_key
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.plots.view import known_key

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Narrowed(Tables):
    """The tables of some runs of an experiment.

    Attributes:
        whole: the tables of all its runs.
        only: the values of each key that the user wants.
    """

    whole: Tables | None = None
    only: dict[str, tuple[Any, ...]] = field(default_factory=dict)


def narrowed(tables: Tables, wishes: Sequence[str]) -> Tables:
    """Return the tables of the runs that match; several values of a key are alternatives.

    A run whose normalization decides a key is kept with every value that other runs have of it, because
    figures show it with each of them.

    Args:
        tables: the experiment.
        wishes: `KEY=VALUE` each, such as `model.norm=batchnorm`.

    Raises:
        NormbenchError: a key is not swept, a value is none of its values, or no run matches.
    """
    only: dict[str, tuple[Any, ...]] = {}
    for wish in wishes:
        key, equals, text = wish.partition("=")
        if not equals:
            raise NormbenchError(f"where: '{wish}' is no KEY=VALUE, such as model.norm=batchnorm")
        key = known_key(tables, key.strip(), "where")
        value = _known_value(tables, key, text.strip())
        only[key] = tuple(dict.fromkeys((*only.get(key, ()), value)))
    if not only:
        return tables
    keep = np.ones(len(tables.runs), dtype=bool)
    for key, values in only.items():
        keep &= _matches(tables.runs, key, values)
    said = ", ".join(f"{short_key(key)} {' or '.join(map(number, values))}" for key, values in only.items())
    if not keep.any():
        raise NormbenchError(f"where: {tables.folder} has no run with {said}; name other values")
    places = np.cumsum(keep) - 1
    metrics = tables.metrics[keep[tables.metrics["run"].to_numpy()]]
    return Narrowed(
        folder=tables.folder,
        name=tables.name,
        config=tables.config,
        runs=tables.runs[keep].reset_index(drop=True),
        metrics=metrics.assign(run=places[metrics["run"].to_numpy()].astype(np.int32)),
        swept=tables.swept,
        warnings=tables.warnings,
        notes=(*tables.notes, f"only runs with {said}"),
        whole=tables,
        only=only,
    )


def _known_value(tables: Tables, key: str, text: str) -> Any:
    """Return the value of a key that the user means; of numbers, three digits are enough."""
    known = list(in_order(tables.runs[key]))
    exact = [value for value in known if str(value) == text or _equal(value, text)]
    found = exact or [value for value in known if number(value) == _short(text)]
    if len(found) == 1:
        return found[0]
    choices = [number(value) for value in known]
    if len(set(choices)) < len(choices):  # three digits do not tell them apart
        choices = [str(value) for value in known]
    raise NormbenchError(
        f"where: {key}: '{text}' is none of its values here; {did_you_mean(text, choices)}{one_of(choices)}"
    )


def _equal(value: Any, text: str) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return text.lower() == str(value).lower()
    if value is None or isinstance(value, str):
        return text == number(value)
    try:
        return bool(np.isclose(float(text), float(value), rtol=1e-9, atol=0))
    except ValueError:
        return False


def _short(text: str) -> str:
    try:
        return number(float(text))
    except ValueError:
        return text


def _matches(runs: pd.DataFrame, key: str, values: tuple[Any, ...]) -> np.ndarray:
    """Return which runs have one of the values, or decide the key where other runs have one of them."""
    wanted = runs[key].isin([value for value in values if value is not None])
    if None in values:
        wanted |= runs[key].isna()
    own = mentions(runs, "decided", key)
    chosen = wanted.to_numpy(bool)
    return np.asarray(chosen | (own & bool((chosen & ~own).any())))

"""The records as they would be if every run had ended earlier: for verdicts at a share of the training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from normbench.analysis.tables import Tables, setting, until
from normbench.names import QUANTITIES, STEPS, TRAINS_BELOW
from normbench.records.schema import INFERENCE
from normbench.stats.outcome import outcome

if TYPE_CHECKING:
    import pandas as pd

LAST = 0.1  # share of the steps whose training losses say whether a run trains


def read_at(tables: Tables, share: float) -> Tables:
    """Return the tables as they would be if training had ended at this share of each run's steps.

    A run then ends at its last evaluation up to this step. Final and best values come from the evaluations
    up to then. So does the outcome: the training losses of the evaluations in the last tenth, or of the last
    evaluation if they are further apart. A run that diverges later has not diverged yet. A run without an
    evaluation after step 0 has no outcome.

    Args:
        tables: of the whole training, with curves.
        share: of the steps, above 0 and at most 1. 1 returns the tables themselves.
    """
    if share == 1:
        return tables
    runs = tables.runs.copy()
    count = len(runs)
    finished = runs["status"] == "finished"
    whole = runs[STEPS] if STEPS in runs else runs["steps"].where(finished, setting(tables.config, STEPS))
    limits = np.floor(whole.to_numpy(float) * share + 1e-9)
    metrics = until(tables.metrics, limits)
    rows = metrics.groupby("run")
    ends = rows["step"].max().reindex(range(count)).to_numpy(float)
    for name in QUANTITIES:
        best = rows[name].max() if name.endswith("accuracy") else rows[name].min()
        for form, values in (("final", rows[name].nth(-1)), ("best", best)):
            if form == "final":
                values.index = metrics.loc[values.index, "run"]
            runs[f"{form}_{name}"] = values.reindex(range(count)).to_numpy(float)
    runs[[column.name for column in INFERENCE]] = np.nan  # measured after the last step alone
    diverged = (runs["status"] == "diverged") & (runs["diverged_at_step"].to_numpy(float) <= limits)
    went_on = (finished | (runs["status"] == "diverged")) & ~diverged
    losses, window = _last_losses(metrics, ends)
    runs["train_loss_last_tenth"] = np.where(went_on, losses, np.nan)
    runs["train_seconds"] *= np.where(went_on, ends / runs["steps"].to_numpy(float), 1.0)
    runs.loc[went_on, "status"] = "finished"
    runs.loc[went_on, "diverged_at_step"] = None
    runs.loc[went_on & ~np.isnan(ends), "steps"] = ends[(went_on & ~np.isnan(ends)).to_numpy()]
    below = float(setting(tables.config, TRAINS_BELOW, 0.5))
    judged = runs[["train_loss_last_tenth", "label_entropy", "status"]]
    told = np.empty(count, dtype=object)
    told[:] = [outcome(loss, entropy, below, word) for loss, entropy, word in judged.itertuples(index=False)]
    runs["outcome"] = told
    return replace(
        tables, runs=runs, metrics=metrics, limits=limits, earlier=_earlier(share, ends[went_on], window)
    )


def _last_losses(metrics: pd.DataFrame, ends: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean training loss of the last tenth of each run, and the largest share that it covers.

    A row has the mean over the batches since the row before, so it counts with as many steps.
    """
    found, covered = np.full(len(ends), np.nan), 0.0
    for run, part in metrics[metrics["train_loss"].notna()].groupby("run"):
        all_steps = part["step"].to_numpy(float)
        widths = np.diff(all_steps, prepend=0.0)
        starts, end = all_steps - widths, ends[int(run)]
        inside = starts >= end * (1 - LAST) - 1e-9
        inside[-1] = True
        losses = part["train_loss"].to_numpy(float)[inside]
        found[int(run)] = np.average(losses, weights=widths[inside])
        covered = max(covered, 1 - starts[inside][0] / end)
    return found, covered


def _earlier(share: float, ends: np.ndarray, window: float) -> str:
    """Return when the records are read, and how coarse they are there."""
    known = ends[~np.isnan(ends)]
    text = f"{share:.3g} of the training"
    if len(known) and known.min() == known.max():
        text += f" (read at step {int(known[0]):,})"
    if window > LAST + 1e-9:
        text += f", where the losses of the last {window:.0%} of the steps say whether a run trains"
    return text

"""The records of an experiment read with Python's csv alone, and statistics of plain lists.

The tests of the drawn values hold the figures against these, so nothing of normbench is used here.
"""

import csv
import math
import statistics
from pathlib import Path

from scipy import stats

WORDS = ("run_id", "status", "outcome", "model.norm", "layer", "quantity", "stack", "executor")


class Records:
    """The rows of runs.csv, metrics.csv and layers.csv as dicts of numbers and words."""

    def __init__(self, folder):
        self.runs, self.metrics, self.layers = (
            _rows(Path(folder) / name) for name in ("runs.csv", "metrics.csv", "layers.csv")
        )
        self.norms = _distinct(self.runs, "model.norm")
        self.rates = sorted(_distinct(self.runs, "optimizer.lr"))
        self.seeds = sorted(_distinct(self.runs, "seed"))

    def cell(self, norm=None, lr=None, seed=None, outcomes=None):
        return [
            run
            for run in self.runs
            if norm in (None, run["model.norm"])
            and lr in (None, run["optimizer.lr"])
            and seed in (None, run["seed"])
            and (outcomes is None or run["outcome"] in outcomes)
        ]

    def curve(self, run, measure):
        """Return {step: value} of a run's finite evaluations."""
        rows = [row for row in self.metrics if row["run_id"] == run["run_id"]]
        return {row["step"]: row[measure] for row in rows if finite(row[measure])}

    def probed(self, run, quantity, layer):
        """Return {step: value} of what a probe measured, NaN included."""
        self.__dict__.setdefault("_index", {})
        if not self._index:
            for row in self.layers:
                key = row["run_id"], row["quantity"], row["layer"]
                self._index.setdefault(key, {})[row["step"]] = row["value"]
        return self._index.get((run["run_id"], quantity, layer), {})

    def best_lr(self, norm):
        """Return the rate with the best mean accuracy over seeds; a diverged run counts as 0."""
        means = {}
        for lr in self.rates:
            runs = self.cell(norm, lr)
            scores = [0.0 if r["outcome"] == "diverged" else r["final_test_accuracy"] for r in runs]
            means[lr] = statistics.mean(scores)
        return max(means, key=lambda lr: (means[lr], -lr))

    def edge(self, norm, seed):
        """Return the last rate of the first block that trains, the next rate, and rates above that train."""
        good = [self.cell(norm, lr, seed)[0]["outcome"] == "trains" for lr in self.rates]
        if True not in good:
            return None
        last = good.index(True)
        while last + 1 < len(good) and good[last + 1]:
            last += 1
        above = self.rates[last + 1] if last + 1 < len(good) else math.inf
        again = [lr for lr, ok in zip(self.rates[last + 1 :], good[last + 1 :], strict=True) if ok]
        return self.rates[last], above, again


def band(values, log=False):
    """Return the (geometric) mean and the ends of its 95 % Student-t interval."""
    values = [math.log(v) if log else v for v in values if finite(v) and (v > 0 or not log)]
    n = len(values)
    if not n:
        return (math.nan,) * 3
    mean = statistics.mean(values)
    half = stats.t.ppf(0.975, n - 1) * statistics.stdev(values) / math.sqrt(n) if n > 1 else math.nan
    ends = (mean, mean - half, mean + half)
    return tuple(math.exp(x) for x in ends) if log else ends


def bands_at(curves, log=False):
    """Return {x: (mean, low, high)} of several {x: value}."""
    places = sorted({x for curve in curves for x in curve})
    found = {x: band([curve[x] for curve in curves if x in curve], log) for x in places}
    return {x: ends for x, ends in found.items() if finite(ends[0])}


def finite(value):
    return value is not None and math.isfinite(value)


def _rows(path):
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{k: v if k in WORDS else _number(v) for k, v in row.items()} for row in csv.DictReader(file)]


def _number(text):
    try:
        return float(text) if text else math.nan
    except ValueError:
        return text


def _distinct(rows, key):
    return list(dict.fromkeys(row[key] for row in rows))

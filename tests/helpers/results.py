"""The one fabricator of results folders: runs whose every number a test chooses, written as `run` does."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pandas as pd
import yaml

from normbench.norms import NORMS
from normbench.records.schema import LAYERS, METRICS, format_cell, line, runs_table

ENTROPY = math.log(10)
NOT_COLUMNS = ("cell", "curve", "start", "steps", "layers")
WORDS = {"T": "trains", "S": "stuck", "D": "diverged", "C": "crashed", ".": None}


def run(cell, seed, outcome="T", *, steps=1000, curve=(), start=None, **values):
    """Return one made-up run. `curve`: step -> test accuracy; `start`: test loss at its first step; values:
    columns of runs.csv."""
    return {
        "cell": cell,
        "seed": seed,
        "outcome": WORDS[outcome],
        "steps": steps,
        "curve": dict(curve),
        "start": start,
        **values,
    }


def rate_runs(cell, seed, rates, outcomes, **values):
    """Return a run for each rate: `rate_runs(cell, 0, [0.1, 1, 10], "TTD")`."""
    return [
        run({**cell, "optimizer.lr": rate}, seed, outcome, **values)
        for rate, outcome in zip(rates, outcomes, strict=True)
    ]


def write(folder: Path, runs, claims=(), *, seeds=None, steps=1000):
    """Write a folder with these made-up runs."""
    keys = list(dict.fromkeys(key for one in runs for key in one["cell"]))
    config = {
        "name": "made_up",
        "seeds": seeds if seeds is not None else sorted({one["seed"] for one in runs}),
        "data": {"name": "digits", "batch_size": 60},
        "model": {"name": "mlp", "depth": 2, "width": 8},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"steps": steps, "eval_every": 100, "trains_below": 0.5},
        "sweep": {key: list(dict.fromkeys(one["cell"].get(key) for one in runs)) for key in keys},
        "claims": list(claims),
    }
    rows, curves, depths = [], [], []
    for one in runs:
        name = run_id(one["cell"], one["seed"])
        ended = one["outcome"] is not None
        own = {
            "run_id": name,
            "status": {"diverged": "diverged", "crashed": "crashed", None: "pending"}.get(
                one["outcome"], "finished"
            ),
            "steps": one["steps"] if ended else None,
            "label_entropy": ENTROPY if ended else None,
            "train_loss_last_tenth": {"trains": 0.1, "stuck": 2.3}.get(one["outcome"]),
            **{key: value for key, value in one.items() if key not in NOT_COLUMNS},
            **one["cell"],
        }
        last = list(one["curve"].values())[-1:]
        if last:
            own.setdefault("final_test_accuracy", last[0])
            own.setdefault("best_test_accuracy", max(one["curve"].values()))
        if one["outcome"] == "crashed":
            own["outcome"] = None  # as records of before 0.3 have it
        rows.append(own)
        for step, value in one["curve"].items():
            row = {"run_id": name, "step": step, "epoch": 0.0, "lr": 0.1, "test_accuracy": value}
            curves.append(
                {**row, "test_loss": one.get("start") if step == next(iter(one["curve"])) else None}
            )
        depths += [dict(zip(LAYERS.names, (name, *row), strict=True)) for row in one.get("layers", ())]
    return write_folder(folder, config, rows, pd.DataFrame(curves), pd.DataFrame(depths))


def write_folder(folder: Path, config, runs, metrics, layers=None):
    """Write config.yaml, runs.csv, metrics.csv and layers.csv (if it has rows) as `normbench run` does.

    `runs`: one mapping of columns to values for each run; columns that are not given stay empty.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    table = runs_table(config["sweep"])
    lines = [line(table.names)]
    for one in runs:
        cell = {key: one[key] for key in config["sweep"] if one.get(key) is not None}
        values = {"decided": decided_in(cell), **one}
        lines.append(line(format_cell(known(values.get(name))) for name in table.names))
    (folder / "runs.csv").write_bytes(b"".join(lines))
    for frame, rows in ((METRICS, metrics), (LAYERS, layers)):
        if frame is METRICS or (rows is not None and len(rows)):
            rows.reindex(columns=frame.names).to_csv(folder / frame.file, index=False, lineterminator="\n")
    return folder


def known(value):
    """Return a value, NaN as None: an empty cell."""
    return None if isinstance(value, float) and math.isnan(value) else value


def run_id(cell, seed):
    """Return an id that follows from cell and seed."""
    return hashlib.sha256(repr((sorted(cell.items(), key=str), seed)).encode()).hexdigest()[:12]


def decided_in(cell):
    """Return the keys that the settings of a cell decide, as the column `decided` has them."""
    keys = list(NORMS[cell["model.norm"]]().sets()) if cell.get("model.norm") in NORMS else []
    if cell.get("model.dropout.placement") == "none":
        keys.append("model.dropout.rate")
    return " ".join(key for key in keys if key in cell) or "none"


def claim(measure, of=None, against=None, **more):
    """Return a claim as the config holds it; by default batch normalization against none."""
    plain = {"id": "C", "statement": "It is so.", "measure": measure}
    if "over" not in more:
        plain["of"] = of or {"model.norm": "batchnorm"}
        plain["against"] = against or {"model.norm": "none"}
    elif of:
        plain["of"] = of
    return {**plain, **more}

"""Results folders whose every number a test chose: for measures, verdicts and `verify`."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import yaml

from normbench.norms import NORMS
from normbench.records.schema import format_cell, line, runs_table

ENTROPY = math.log(10)
METRICS = ["run_id", "step", "epoch", "lr"]
PARTS = [f"{part}_{what}" for part in ("train", "val", "test") for what in ("loss", "accuracy")]
WORDS = {"T": "trains", "S": "stuck", "D": "diverged", ".": None}


def run(cell, seed, outcome="T", *, steps=1000, curve=(), **values):
    """Return one made-up run. `curve`: step -> test accuracy; values: columns of runs.csv."""
    return {
        "cell": cell,
        "seed": seed,
        "outcome": WORDS[outcome],
        "steps": steps,
        "curve": dict(curve),
        **values,
    }


def rate_runs(cell, seed, rates, outcomes, **values):
    """Return a run for each rate: `rate_runs(cell, 0, [0.1, 1, 10], "TTD")`."""
    return [
        run({**cell, "optimizer.lr": rate}, seed, outcome, **values)
        for rate, outcome in zip(rates, outcomes, strict=True)
    ]


def write(folder: Path, runs, claims=(), *, seeds=None, steps=1000):
    """Write config.yaml, runs.csv, metrics.csv (and layers.csv) as `normbench run` does."""
    folder.mkdir(parents=True, exist_ok=True)
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
    (folder / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False))
    table = runs_table(keys)
    rows, curves, depths = (
        [table.names],
        [[*METRICS, *PARTS]],
        [["run_id", "step", "layer", "quantity", "value"]],
    )
    for one in runs:
        run_id = hashlib.sha256(
            repr((sorted(one["cell"].items(), key=str), one["seed"])).encode()
        ).hexdigest()[:12]
        status = {"diverged": "diverged", None: "pending"}.get(one["outcome"], "finished")
        ended = one["outcome"] is not None
        own = {
            "run_id": run_id,
            "status": status,
            "steps": one["steps"] if ended else None,
            "label_entropy": ENTROPY if ended else None,
            "train_loss_last_tenth": {"trains": 0.1, "stuck": 2.3}.get(one["outcome"]),
            **{key: value for key, value in one.items() if key not in ("cell", "curve", "steps")},
            **one["cell"],
            "decided": decided_in(one["cell"]),
        }
        last = list(one["curve"].values())[-1:]
        if last:
            own.setdefault("final_test_accuracy", last[0])
            own.setdefault("best_test_accuracy", max(one["curve"].values()))
        rows.append([format_cell(own.get(name)) for name in table.names])
        for step, value in one["curve"].items():
            curves.append([run_id, str(step), "0.0", "0.1", *[""] * 5, format_cell(value)])
        for step, layer, quantity, value in one.get("layers", ()):
            depths.append([run_id, str(step), layer, quantity, format_cell(value)])
    files = {"runs.csv": rows, "metrics.csv": curves, **({"layers.csv": depths} if len(depths) > 1 else {})}
    for name, cells in files.items():
        (folder / name).write_bytes(b"".join(line(map(str, row)) for row in cells))
    return folder


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

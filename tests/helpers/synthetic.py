"""Writes results folders as `normbench run` does, with curves that behave as the sources say, in no time."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

ENTROPY = math.log(10)
RATES = [float(f"{r:.10g}") for r in np.logspace(-3, 2, 11)]
NORMS = {  # the log10 of the largest rate that trains at depth 3
    "none": -0.5,
    "batchnorm": 1.0,
    "layernorm": 0.5,
    "weightnorm": 0.0,
    "mean_only_batchnorm": -0.1,
    "weightnorm_mean_only_batchnorm": 0.2,
    "selu": -0.2,
}
MEASURED = [f"{p}_{w}" for p in ("train", "val", "test") for w in ("loss", "accuracy")]


def write_results(
    folder: Path,
    *,
    axes: dict | None = None,
    seeds: int = 5,
    steps: int = 1000,
    evaluations: int = 11,
    title: str | None = None,
    val: bool = False,
    diverge: bool | None = None,
    name: str = "synthetic",
    claims: list | None = None,
) -> Path:
    """Write config.yaml, runs.csv and metrics.csv for every cell of `axes` (dotted key -> values)."""
    if axes is None:
        axes = {
            "model.norm": list(NORMS),
            "model.depth": [3, 5, 10],
            "model.activation": ["sigmoid", "relu"],
            "optimizer.lr": RATES,
        }
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "name": name,
        "title": title,
        "seeds": list(range(seeds)),
        "data": {"name": "mnist", "train_size": 10000, "batch_size": 60},
        "model": {"name": "mlp", "depth": 3, "width": 100, "activation": "relu", "norm": {"name": "none"}},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"steps": steps, "eval_every": steps // (evaluations - 1), "trains_below": 0.5},
        "sweep": axes,
        "claims": claims or [],
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False))
    at = np.unique(np.linspace(0, steps, evaluations).astype(int))
    runs, curves, seen = [], [], set()
    for values in itertools.product(*axes.values()):
        cell = dict(zip(axes, values, strict=True))
        if cell.get("model.norm") == "selu":
            cell["model.activation"] = "selu" if "model.activation" in axes else None
            cell = {k: v for k, v in cell.items() if v is not None}
        if tuple(cell.items()) in seen:
            continue
        seen.add(tuple(cell.items()))
        for seed in range(seeds):
            run, curve = _train(cell, seed, at, steps, val, diverge)
            runs.append(run)
            curves.append(curve)
    pd.DataFrame(runs).to_csv(folder / "runs.csv", index=False)
    pd.concat(curves).to_csv(folder / "metrics.csv", index=False)
    return folder


def _train(cell, seed, at, steps, val, diverge):
    norm, depth = cell.get("model.norm", "none"), cell.get("model.depth", 3)
    lr = cell.get("optimizer.lr", 0.1)
    run_id = hashlib.sha256(repr((sorted(cell.items(), key=str), seed)).encode()).hexdigest()[:12]
    rng = np.random.default_rng(int(run_id, 16))
    top = NORMS.get(norm, 0.0) - 0.1 * (depth - 3) * (norm == "none") + rng.normal(0, 0.12)
    above = math.log10(lr) - top
    hopeless = norm in ("none", "weightnorm") and depth >= 10
    diverged = above > 0.5 if diverge is None else diverge
    speed = 0.0 if hopeless or above > 0 else 6e-2 * lr**0.6 / (1 + 0.05 * depth)
    floor = 0.03 + 0.02 * rng.random() + 0.01 * depth * (norm == "none")
    loss = floor + (ENTROPY * 1.02 - floor) * np.exp(-speed * at) + rng.normal(0, 0.004, len(at))
    loss = np.clip(loss, 1e-3, None)
    if above > 0 and not diverged:
        loss = ENTROPY * (1 + rng.random(len(at)) * 0.2)
    table = pd.DataFrame({"run_id": run_id, "step": at, "epoch": at / 166, "lr": lr})
    accuracy = np.clip(1 - 0.9 * loss / ENTROPY, 0.08, 0.99)
    for part, gap in (("train", 0.0), ("val", 0.015), ("test", 0.02)):
        if part == "val" and not val:
            table["val_loss"] = table["val_accuracy"] = np.nan
            continue
        table[f"{part}_loss"] = loss * (1 + 3 * gap)
        table[f"{part}_accuracy"] = np.clip(accuracy - gap * accuracy, 0.08, 1)
    table.loc[0, ["train_loss", "train_accuracy"]] = np.nan
    died = None
    if diverged:
        died = int(rng.integers(2, max(3, steps // 4)))
        table = table[table["step"] < died]
        if len(table) > 1:
            table.loc[table.index[-1], "train_loss"] = 50.0
    run = {"run_id": run_id, "seed": seed, **cell}
    run["status"] = "diverged" if diverged else "finished"
    tenth = None if diverged else float(loss[-2:].mean())
    run["outcome"] = "diverged" if diverged else ("trains" if tenth <= 0.5 * ENTROPY else "stuck")
    run.update(steps=died if diverged else steps, diverged_at_step=str(died) if diverged else "")
    run.update(train_loss_last_tenth=tenth, label_entropy=ENTROPY)
    for name in MEASURED:
        best = "min" if name.endswith("loss") else "max"
        run[f"final_{name}"] = table[name].iloc[-1] if len(table) else None
        run[f"best_{name}"] = getattr(table[name], best)() if len(table) else None
    run.update(parameters=99710, train_seconds=0.5, stack="0123abcd", executor="vmap")
    return run, table

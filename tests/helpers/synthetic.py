"""Results folders of whole sweeps, with curves that behave as the sources say and layers of a likely size."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.results import ENTROPY, run_id, write_folder
from normbench.analysis.tables import load_tables
from normbench.names import QUANTITIES

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
    return write_folder(folder, config, runs, pd.concat(curves))


def _train(cell, seed, at, steps, val, diverge):
    norm, depth = cell.get("model.norm", "none"), cell.get("model.depth", 3)
    lr = cell.get("optimizer.lr", 0.1)
    name = run_id(cell, seed)
    rng = np.random.default_rng(int(name, 16))
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
    table = pd.DataFrame({"run_id": name, "step": at, "epoch": at / 166, "lr": lr})
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
    run = {"run_id": name, "seed": seed, **cell}
    run["status"] = "diverged" if diverged else "finished"
    tenth = None if diverged else float(loss[-2:].mean())
    run["outcome"] = "diverged" if diverged else ("trains" if tenth <= 0.5 * ENTROPY else "stuck")
    run.update(steps=died if diverged else steps, diverged_at_step=died if diverged else None)
    run.update(train_loss_last_tenth=tenth, label_entropy=ENTROPY)
    for name in QUANTITIES:
        best = "min" if name.endswith("loss") else "max"
        run[f"final_{name}"] = table[name].iloc[-1] if len(table) else None
        run[f"best_{name}"] = getattr(table[name], best)() if len(table) else None
    run.update(parameters=99710, train_seconds=0.5, stack="0123abcd", executor="vectorized")
    return run, table


CENTRES = np.round(np.arange(-2.9, 3.0, 0.2), 3)
GAIN = {"none": 1.6, "batchnorm": 0.2, "layernorm": 0.5, "weightnorm": 0.9}  # how far its layers drift


def write_layers(folder, steps=21, probes=None, depth=4, log=False, start=None):
    """Write rows for each run; a diverged one has no rows after its end and NaN in its last."""
    runs = load_tables(folder).runs
    tables = [_layers(row, steps, depth, log, start) for row in runs.to_dict("records")]
    table = pd.concat(tables)
    if probes is not None:
        table = table[table["quantity"].str.split(".").str[0].isin(probes)]
    table.to_csv(folder / "layers.csv", index=False)
    return folder


def _layers(row, count, depth, log, start):
    rng = np.random.default_rng(int(row["run_id"], 16))
    drift, lr = GAIN.get(row.get("model.norm", "none"), 0.7), float(row.get("optimizer.lr", 0.1))
    depth = int(row.get("model.depth", depth))
    end = int(row["steps"])
    at = (
        np.unique(np.geomspace(1, 1000, count).astype(int))
        if log
        else np.linspace(0, 1000, count).astype(int)
    )
    at = np.unique(np.r_[0, at])
    at = at[at <= end]
    t = at / 1000
    rows = []

    def add(layer, name, values):
        values = np.broadcast_to(np.asarray(values, float), t.shape) * rng.normal(1, 0.02, len(t))
        if row["status"] == "diverged":
            values = np.where(np.arange(len(t)) == len(t) - 1, np.nan, values)
        if start is None or name.startswith(start):
            rows.append(pd.DataFrame({"step": at, "layer": layer, "quantity": name, "value": values}))

    for i, layer in enumerate([*(f"hidden.{k}" for k in range(depth)), "classifier"]):
        far = (i + 1) / depth
        if layer != "classifier":
            shift, width = drift * far * np.sin(6 * t) * t, 0.6 + drift * t * far
            for p, z in ((15, -1.04), (50, 0.0), (85, 1.04)):
                add(layer, f"activations.input_p{p}", shift + z * width)
            add(layer, "activations.input_mean", shift)
            add(layer, "activations.input_std", width)
            add(layer, "activations.mean", 0.4 * shift)
            add(layer, "activations.std", 0.6 * width)
            add(layer, "activations.saturated", np.clip(0.25 * drift * far * (0.2 + t), 0, 1))
            add(layer, "activations.dead", np.clip(0.1 * drift * far * t, 0, 1))
            density = np.exp(-0.5 * ((CENTRES[:, None] - shift) / width) ** 2)
            density /= density.sum(0)
            for centre, share in zip(CENTRES, density, strict=True):
                add(layer, f"activations.density@{centre:g}", share)
            add(layer, "variance_shift.training", 1.0)
            add(layer, "variance_shift.inference", 0.8 + 0.05 * i)
            add(layer, "variance_shift.ratio", 0.8 + 0.05 * i)
            add(layer, "forgetting.rise", 0.3 * drift * (depth - i) * t)
            add(layer, "perturbation.growth", (0.6 + 0.5 * drift) ** i)
        add(layer, "gradients.norm", 2.0 ** -(drift * (depth - i)) * (0.1 + np.exp(-4 * t)))
        add(layer, "gradients.update_ratio", 1e-3 * lr * far)
        add(layer, "gradients.update_share", 1 / (depth + 1))
        add(layer, "weights.norm", 8 + 2 * t)
        add(layer, "weights.v_norm", np.sqrt(64 + 400 * lr * t * far))
        add(layer, "weights.g_norm", 10 + t)
        add(layer, "weights.effective_rate", lr / (64 + 400 * lr * t * far))
        add(layer, "ics.norm", (i > 0) * 0.05 * far * (1 + lr) * (1.5 - t))
        add(layer, "ics.cosine", np.clip(1 - 0.5 * far * drift, -1, 1))
        add(layer, "gradient_noise.variance", 0.4 * far)
        add(layer, "gradient_noise.norm", 0.3 * np.exp(-2 * t))
        add(layer, "gradient_noise.scale", 4.0 + 20 * t)
    loss = 0.1 + 2.2 * np.exp(-4 * t * min(1, lr * 8))
    add("net", "landscape.loss_min", loss * (1 - 0.05 * drift))
    add("net", "landscape.loss_max", loss * (1 + 0.5 * drift))
    add("net", "landscape.change_min", 0.02 * drift * loss)
    add("net", "landscape.change_max", 0.5 * drift * loss)
    add("net", "landscape.smoothness", 10 * drift * (1 + t))
    sharpness = 2 / lr * (1 - np.exp(-(3 + lr) * t * (1.2 - 0.3 * drift))) + 3
    add("net", "sharpness.largest", sharpness)
    add("net", "sharpness.times_rate", lr * sharpness)
    add("net", "sharpness.stable_rate", 2 / sharpness)
    cost = 1 + {"none": 0.0, "batchnorm": 0.5, "layernorm": 0.4, "weightnorm": 0.2}.get(
        row.get("model.norm"), 0
    )
    width = float(row.get("model.width", 100)) / 100
    for name, seconds in (("forward", 1.2e-4), ("backward", 2.3e-4), ("update", 0.6e-4), ("step", 4.1e-4)):
        add("net", f"cost.{name}_seconds", seconds * cost * width)
    add("net", "cost.saved_bytes", 2.4e5 * cost * width)
    add("net", "cost.parameter_bytes", 4e5 * width**2)
    return pd.concat(rows).assign(run_id=row["run_id"])[["run_id", "step", "layer", "quantity", "value"]]

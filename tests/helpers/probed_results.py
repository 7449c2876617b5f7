"""Adds a layers.csv to a results folder, with what probes measure and numbers of a likely size."""

import numpy as np
import pandas as pd

from normbench.analysis.tables import load_tables

CENTRES = np.round(np.arange(-2.9, 3.0, 0.2), 3)
GAIN = {"none": 1.6, "batchnorm": 0.2, "layernorm": 0.5, "weightnorm": 0.9}  # how far its layers drift


def write_layers(folder, steps=21, probes=None, depth=4, log=False, start=None):
    """Write rows for each run; a diverged one has no rows after its end and NaN in its last."""
    runs = load_tables(folder).runs
    tables = [_run(row, steps, depth, log, start) for row in runs.to_dict("records")]
    table = pd.concat(tables)
    if probes is not None:
        table = table[table["quantity"].str.split(".").str[0].isin(probes)]
    table.to_csv(folder / "layers.csv", index=False)
    return folder


def _run(row, count, depth, log, start):
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

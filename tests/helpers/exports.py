"""All numbers of an experiment as plain rows of its CSV files."""

import csv


def rows(folder, name):
    """Return a CSV file as rows of texts."""
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cells(row, leave=()):
    """Yield the numbers of a row of text by column."""
    for name, text in row.items():
        if name not in leave:
            try:
                yield name, float(text)
            except ValueError:
                continue


def expected(folder, of_run="{}", of_metric="{}", of_layer="{}"):
    """Return all numbers of an experiment: (run, name, step) -> value, named as a target names them."""
    found = {}
    for row in rows(folder, "runs"):
        for name, value in cells(row, ("run_id", "seed", "model.norm", "optimizer.lr", "stack")):
            found[row["run_id"], of_run.format(name), int(row["steps"])] = value
    for row in rows(folder, "metrics"):
        for name, value in cells(row, ("run_id", "step")):
            found[row["run_id"], of_metric.format(name), int(row["step"])] = value
    for row in rows(folder, "layers"):
        name = of_layer.format(f"{row['layer']}/{row['quantity']}")
        found[row["run_id"], name, int(row["step"])] = float(row["value"])
    return found

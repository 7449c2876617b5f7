"""The results folders that the repository ships: the two examples, and those of the book."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).parents[2] / "results"
SHIPPED = sorted(path.parent for folder in ("*", "claims/*") for path in RESULTS.glob(f"{folder}/runs.csv"))
assert {"quickstart", "bn_larger_lr_mnist"} <= {folder.name for folder in SHIPPED}

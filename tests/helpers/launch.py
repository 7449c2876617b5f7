"""Small sweeps on the embedded digits, for tests that stop, kill and resume them, and their records."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from normbench import api
from normbench.launch.reporter import Reporter
from normbench.launch.session import Finished

MLP = """
name: tiny
seeds: 2
data: {name: digits, train_size: 400, test_size: 60, batch_size: 20}
model: {name: mlp, depth: 2, width: 16, dropout: {rate: 0.1, placement: input}}
optimizer: {name: adam, schedule: cosine}
train: {steps: 230, eval_every: 60, eval_size: 40}
sweep:
  model.norm: [none, batchnorm]
  optimizer.lr: [0.003, 0.03, 1.0e+30]
"""
CNN = """
name: tiny
seeds: 1
data: {name: digits, train_size: 100, test_size: 20, batch_size: 10}
model: {name: cnn, depth: 2, width: 4, norm: batchnorm}
optimizer: {name: sgd, momentum: 0.9}
train: {steps: 150, eval_every: 60}
sweep: {optimizer.lr: [0.03, 0.1]}
"""
NOT_THE_TRAINING = ("train_seconds",)  # differs between two trainings
SPLIT = (*NOT_THE_TRAINING, "stack")  # differs if a stack was divided


class Heard(Reporter):
    """Keeps the sentences."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def train(folder: Path, config: str = MLP, **options: Any) -> Finished:
    folder.mkdir(exist_ok=True)
    path = folder / "tiny.yaml"
    path.write_text(config, encoding="utf-8")
    return api.run(path, results=folder, device="cpu", threads=1, **options)


def records(folder: Path, without: tuple[str, ...] = NOT_THE_TRAINING) -> tuple[bytes, list[dict[str, str]]]:
    """Return what must be equal: metrics.csv byte by byte, runs.csv cell by cell, without some columns."""
    with (folder / "tiny" / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = [
            {key: value for key, value in row.items() if key not in without} for row in csv.DictReader(file)
        ]
    return (folder / "tiny" / "metrics.csv").read_bytes(), rows


def sessions(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "tiny" / "environment.json").read_text(encoding="utf-8"))["sessions"]


def after(times: int) -> Any:
    """Return a `should_stop` that answers false this many times, then true."""
    left = iter(range(times))
    return lambda: next(left, None) is None

"""Plug-ins of several files, and a sweep that trains them in a moment."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NORM = '''
from typing import Literal

import torch
from torch import nn

from normbench.norms import NORMS, Normalization


@NORMS.add
class Own(Normalization):
    """A layer of one's own."""

    name: Literal["own"] = "own"

    def module(self, features):
        return Layer(features)


class Layer(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.g = nn.Parameter(torch.ones(features))

    def forward(self, x):
        return self.g * x / (x.square().mean(1, keepdim=True) + 0.01).sqrt()
'''
# The layer with a helper that is imported when the training has begun.
LAZY = NORM.replace(
    "        return self.g * x / (x.square().mean(1, keepdim=True) + 0.01).sqrt()",
    "        from my_helpers import rms\n\n        return self.g * x / rms(x)",
)
HELPERS = "def rms(x):\n    return (x.square().mean(1, keepdim=True) + 0.01).sqrt()\n"
CONFIG = """\
name: tiny
seeds: 2
data: {name: digits, train_size: 200, test_size: 60, batch_size: 20}
model: {name: mlp, depth: 1, width: 8}
train: {steps: 20, eval_every: 10}
sweep:
  model.norm: [none, own]
"""


def write(folder: Path, files: Mapping[str, str] | None = None, **modules: str) -> Path:
    """Write files by their names, and modules by theirs (without `.py`); return the first one."""
    texts = {**(files or {}), **{f"{name}.py": text for name, text in modules.items()}}
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder / next(iter(texts))


def sweep(folder: Path, text: str = CONFIG) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "runs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_ids(folder: Path) -> dict[str, list[str]]:
    """Return the ids of the runs of each normalization."""
    found: dict[str, list[str]] = {}
    for row in rows(folder):
        found.setdefault(row["model.norm"], []).append(row["run_id"])
    return found


def records(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "environment.json").read_text())["plugins"]

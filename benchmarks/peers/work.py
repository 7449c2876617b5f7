"""The work that all peers do: a net, its data, rates, seeds and steps; and how they say what it took."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

RATES = [0.01, 0.0215, 0.0464, 0.1, 0.215, 0.464, 1.0, 1.5, 2.15, 3.0]


@dataclass(frozen=True)
class Work:
    """Train one net for each rate and seed; evaluate all test images at the end of each training."""

    model: str = "mlp"
    norm: str = "batchnorm"
    depth: int = 3
    width: int = 100
    activation: str = "sigmoid"
    dropout: float = 0.0
    data: str = "mnist"
    batch: int = 60
    steps: int = 2000
    rates: tuple[float, ...] = tuple(RATES)
    seeds: tuple[int, ...] = (0, 1, 2)

    @property
    def runs(self) -> int:
        return len(self.rates) * len(self.seeds)

    def text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Took:
    """Seconds of training and evaluation, start-up and compilation left out; accuracy of each run."""

    seconds: float
    startup: float
    runs: int
    steps: int
    accuracies: list[float]

    @property
    def steps_per_second(self) -> float:
        """Return steps of runs in a second."""
        return self.runs * self.steps / self.seconds


def parse(text: str) -> Work:
    values = json.loads(text)
    return Work(**{**values, "rates": tuple(values["rates"]), "seeds": tuple(values["seeds"])})


def main(train: Callable[[Work], Took]) -> None:
    """Run a peer as a process: `python loop.py '{"steps": 500}'` prints what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", nargs="?", default=Work().text())
    took = train(parse(json.dumps({**asdict(Work()), **json.loads(parser.parse_args().work)})))
    print(json.dumps(asdict(took)))


def clock() -> float:
    return time.perf_counter()


def options_of_cifar() -> dict[str, str]:
    """Return the data section of the JPEG copy of CIFAR-10."""
    return {"name": "image_folder", "root": str(Path.home() / ".cache/normbench/data/cifar10-jpeg")}

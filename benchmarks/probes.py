"""Measures what probes cost: the cheap three together, and each probe against the cost that it states.

    python benchmarks/probes.py            # about 10 minutes on 2 quiet cores
    python benchmarks/probes.py --only stated
    python benchmarks/probes.py --small    # about 2 minutes: fewer rounds and nets, nothing is written

The cheap three are measured 20 times in 1,000 steps. A measurement and steps without one take turns in one
process. Shares are relative to the time of the steps alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import table
import torch
from stacks import alternate, random_data, steps_of, trainer

from normbench.engine.loop import StackTrainer
from normbench.engine.probing import Probing
from normbench.probes import PROBES, Probe

EVERY = 50  # steps between measurements: 20 in 1,000
LAST = 100_000
CHEAP = [name for name in PROBES if PROBES[name].cheap]
NETS = {
    "MLP 3 x 100, 16 runs": (
        (1, 28, 28),
        60,
        16,
        "vectorized",
        "{{name: mlp, depth: 3, activation: sigmoid, norm: {}}}",
    ),
    "MLP 10 x 100, 16 runs": (
        (1, 28, 28),
        60,
        16,
        "vectorized",
        "{{name: mlp, depth: 10, activation: relu, norm: {}}}",
    ),
    "6 convolutions 16 to 64, 2 runs": (
        (3, 32, 32),
        64,
        2,
        "looped",
        "{{name: cnn, depth: 6, width: 16, norm: {}}}",
    ),
}


def stack(net: str, norm: str, probes: Sequence[Probe]) -> StackTrainer:
    """Return a trainer with these probes."""
    shape, batch, runs, executor, model = NETS[net]
    made = trainer(model.format(norm), random_data(shape, 1200), batch, runs, executor)
    served = [probe for probe in probes if probe.refuses(made.executor.model, made.settings) is None]
    made.probing = Probing(made.executor, served, LAST, [])
    return made


def measurement(made: StackTrainer) -> Callable[[], float]:
    """Return a function that makes one measurement and returns milliseconds for each run."""

    def measure() -> float:
        began = time.perf_counter()
        with torch.no_grad():
            made._probe(0)
        list(made._layers({}))
        return (time.perf_counter() - began) / len(made.state.lanes) * 1e3

    measure()  # traces
    return measure


def cheap(norms: Sequence[str], nets: Sequence[str], short: int, long: int) -> list[dict[str, object]]:
    """Return the cost of activations, gradients and weights together, as a share of the training time.

    It divides the time of one measurement by that of the steps between two. Trainings of EVERY steps with and
    without a measurement differ less than the machine's speed varies between them.

    Args:
        norms: names of the normalizations.
        nets: names in `NETS`.
        short: number of rounds for vectorized nets.
        long: number of rounds for looped nets.
    """
    rows = []
    for net in nets:
        rounds = long if NETS[net][3] == "looped" else short
        for norm in norms:
            probes = [PROBES[name](name=name, steps=[0]) for name in CHEAP]
            step = steps_of(stack(net, norm, []), 20)
            figures = alternate({"step": step, "probes": measurement(stack(net, norm, probes))}, rounds)
            pairs = zip(figures["probes"], figures["step"], strict=True)
            rows.append(
                {
                    "net": net,
                    "norm": norm,
                    "a step of a run, ms": table.spread(figures["step"], 3),
                    "added by the three, %": table.spread([100 * a / b / EVERY for a, b in pairs], 1),
                    "n": rounds,
                }
            )
    return rows


def stated(nets: Sequence[str], rounds: int) -> list[dict[str, object]]:
    """Return the cost of one measurement of each probe in training steps: stated and measured."""
    rows = []
    for net in nets:
        for name in PROBES:
            probe = PROBES[name](name=name, steps=[0])
            made = stack(net, "batchnorm", [probe])
            step = steps_of(stack(net, "batchnorm", []), 20)
            figures = alternate({"step": step, "probe": measurement(made)}, rounds)
            pairs = zip(figures["probe"], figures["step"], strict=True)
            rows.append(
                {
                    "net": net,
                    "probe": name,
                    "stated, steps": f"{probe.cost_in(made.executor.model, NETS[net][3]):.1f}",
                    "measured, steps": table.spread([a / b for a, b in pairs], 1),
                    "n": rounds,
                }
            )
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--small", action="store_true", help="fewer rounds and nets, nothing is written")
    options.add_argument("--only", choices=("cheap", "stated"), help="one of the two tables")
    chosen = options.parse_args()
    if chosen.small:
        first, _, last = NETS
        for rows in (cheap(["batchnorm"], [first, last], 5, 5), stated([first, last], 3)):
            for row in rows:
                print(*row.values(), sep=" | ")
        return
    if chosen.only != "stated":
        table.write("probes_cheap", cheap(["none", "batchnorm", "weightnorm"], list(NETS), 25, 5))
    if chosen.only != "cheap":
        table.write("probes_stated", stated(list(NETS), 7))


if __name__ == "__main__":
    main()

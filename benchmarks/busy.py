"""Compares ways to wait for a thread, on a quiet machine and beside other work.

    python benchmarks/busy.py

Two OpenMP threads meet after each operation. The first one to finish spins until the other one comes. Where
there are fewer free cores than threads, it takes the time from the other one. normbench therefore trains with
as many threads as there are free cores (`normbench/launch/room.py`, which rests on this table). Settings of
the environment are read when torch is imported, so each kind has a process of its own. The processes take
turns. The eager loop is a plain torch loop over one net, with torch's default.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 1.5  # of training in one turn
RUNS = 10
ROUNDS = 5
BUSY = (0, 1, 4)  # other processes
OURS = "normbench"
THEIRS = ("torch's default", "eager loop")
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    OURS: {},
    "torch's default": {},
    "spin count 1,000": {"GOMP_SPINCOUNT": "1000"},
    "spin count 10,000": {"GOMP_SPINCOUNT": "10000"},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
    "eager loop": {},
}


def _measure(pipe: Connection, kind: str) -> None:
    """Train for a while whenever the pipe asks, and send milliseconds per run and step."""
    os.environ.update(ENVIRONMENTS[kind])
    sys.path[:0] = [str(HERE), str(HERE / "peers")]
    from executors import plain_loop
    from nets import build
    from stacks import random_data, steps_of, trainer
    from work import Work

    from normbench.launch.room import Room

    data = random_data((1, 28, 28))
    if kind == "eager loop":
        one = plain_loop(build(Work()), data, Work.batch, 5)
    else:
        model = "{name: mlp, depth: 3, width: 100, activation: sigmoid, norm: batchnorm}"
        one = steps_of(trainer(model, data, Work.batch, RUNS, "vectorized"), 5)
    room = Room() if kind == OURS else None
    pipe.send("ready")
    while pipe.recv():
        times, began = [], time.perf_counter()
        if room:
            room.begin()  # the others trained in the meantime
        while not times or time.perf_counter() - began < SECONDS:
            if room:
                room.fit("vectorized")
            times.append(one())
        pipe.send(statistics.mean(times))


def _be_busy() -> None:
    """Keep a core busy."""
    while True:
        sum(range(10_000))


def _in_turns(pipes: Mapping[str, Connection], rounds: int) -> dict[str, list[float]]:
    """Return the times of each kind; the kinds take turns, so that a slow spell affects all of them."""
    times: dict[str, list[float]] = {kind: [] for kind in pipes}
    for _ in range(rounds):
        for kind, pipe in pipes.items():
            pipe.send(True)
            times[kind].append(pipe.recv())
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--kinds", nargs="+", default=list(ENVIRONMENTS), choices=list(ENVIRONMENTS))
    parser.add_argument("--busy", nargs="+", type=int, default=BUSY, help="numbers of other busy processes")
    asked = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for kind in asked.kinds:
        pipes[kind], theirs = spawn.Pipe()
        spawn.Process(target=_measure, args=(theirs, kind), daemon=True).start()
        pipes[kind].recv()
    rows: list[dict[str, object]] = []
    for busy in asked.busy:
        others = [spawn.Process(target=_be_busy, daemon=True) for _ in range(busy)]
        for other in others:
            other.start()
        times = _in_turns(pipes, asked.rounds)
        for other in others:
            other.kill()
            other.join()
        for kind, values in times.items():
            row: dict[str, object] = {"other processes": busy, "threads wait": kind}
            row["ms per run and step"] = table.spread(values, 3)
            for against in THEIRS:
                if against in times:
                    ratios = [theirs / ours for theirs, ours in zip(times[against], values, strict=True)]
                    row[f"times as fast as {against}"] = table.spread(ratios)
            rows.append({**row, "n": asked.rounds})
            print(rows[-1], flush=True)
    for pipe in pipes.values():
        pipe.send(False)
    if (asked.kinds, tuple(asked.busy)) == (list(ENVIRONMENTS), BUSY):
        table.write("busy", rows)


if __name__ == "__main__":
    import table

    main()

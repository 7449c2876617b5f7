"""Compares stacks whose step is compiled with the replayed trace, on the same work, in turn.

    python benchmarks/compiled.py          # with one thread, then with all: about 10 minutes on 2 quiet cores
    python benchmarks/compiled.py 2        # with 2 threads alone; the rows of other numbers stay

Both train the same runs. The other executor is the one that the plan chooses without a compiler. Times are
per run and step, without evaluation; the code is compiled before, and `first step, s` is what that took
(little if the cache had it). Processor time is a second witness: other processes change it less. The second
table says what a step of each executor consists of, by the time of its operations one by one.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import table
import torch
from stacks import random_data, steps_of, trainer
from torch.fx import Interpreter, Node

from normbench.config import parse_config
from normbench.engine.loop import StackTrainer
from normbench.planning.stacks import choose_executor

ROUNDS = 9
MLP = "{{name: mlp, depth: 3, width: 100, activation: sigmoid, norm: {norm}}}"
MAIN = MLP.format(norm="batchnorm")
SHAPE = (1, 28, 28)
# what, model, optimizer, runs, batch, shape of the images, steps of a measurement
NETS = (
    ("MLP 3 x 100, batch normalization", MAIN, "sgd", 10, 60, SHAPE, 60),
    ("MLP 3 x 100, batch normalization", MAIN, "sgd", 20, 60, SHAPE, 40),
    ("MLP 3 x 100, batch normalization", MAIN, "sgd", 30, 60, SHAPE, 30),
    ("the same, Adam", MAIN, "adam", 20, 60, SHAPE, 20),
    ("the same, SGD with momentum", MAIN, "{name: sgd, momentum: 0.9}", 20, 60, SHAPE, 20),
    ("MLP 3 x 100", MLP.format(norm="none"), "sgd", 20, 60, SHAPE, 40),
    ("MLP 3 x 100, layer normalization", MLP.format(norm="layernorm"), "sgd", 20, 60, SHAPE, 40),
    (
        "MLP 10 x 100, batch normalization",
        MAIN.replace("depth: 3", "depth: 10"),
        *("sgd", 20, 60, SHAPE, 20),
    ),
    (
        "6 convolutions of width 8, 16 x 16",
        "{name: cnn, depth: 6, width: 8, activation: relu, norm: batchnorm}",
        *("sgd", 4, 64, (3, 16, 16), 4),
    ),
    ("LSTM of 32 units", "{name: lstm, width: 32}", "sgd", 8, 100, SHAPE, 3),
)
PARTS = ("matrix products", "compiled regions", "other operations")


def usual_executor(model: str) -> str:
    """Return the executor that a plan chooses on a CPU without a compiler."""
    return choose_executor(parse_config(f"name: a\ndata: {{name: mnist}}\nmodel: {model}\n").settings, "cpu")


def timed(stack: StackTrainer, steps: int) -> Callable[[], tuple[float, float]]:
    """Return a function that makes some steps and returns milliseconds per run and step: wall, processor."""
    measure = steps_of(stack, steps)

    def both() -> tuple[float, float]:
        began = time.process_time()
        wall = measure()
        return wall, (time.process_time() - began) / steps / len(stack.state.lanes) * 1e3

    return both


def compared(
    net: tuple[str, str, str, int, int, tuple[int, int, int], int], threads: int
) -> dict[str, object]:
    """Return the row of a net with this number of threads."""
    what, model, optimizer, runs, batch, shape, steps = net
    torch.set_num_threads(threads)
    data, usual = random_data(shape), usual_executor(model)
    stacks = {
        name: trainer(model, data, batch, runs, name, optimizer=optimizer) for name in (usual, "compiled")
    }
    began = time.perf_counter()
    list(stacks["compiled"]._train(1))
    first = time.perf_counter() - began
    measures = {name: timed(stack, steps) for name, stack in stacks.items()}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in measures}
    for _ in range(ROUNDS):
        for name, measure in measures.items():
            figures[name].append(measure())
    pairs = list(zip(figures[usual], figures["compiled"], strict=True))
    return {
        "net": f"{what}, {runs} runs, {threads} {'thread' if threads == 1 else 'threads'}",
        "against": usual,
        "its time, ms": table.spread([wall for wall, _ in figures[usual]], 3),
        "compiled, ms": table.spread([wall for wall, _ in figures["compiled"]], 3),
        "times as fast": table.spread([one[0] / other[0] for one, other in pairs]),
        "by processor time": table.spread([one[1] / other[1] for one, other in pairs]),
        "first step, s": f"{first:.0f}",
        "n": ROUNDS,
        "threads": str(threads),
    }


class _Clock(Interpreter):
    """Runs the operations of a step one by one, and sums the processor time of each part."""

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        super().__init__(graph)
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def run_node(self, n: Node) -> object:
        began = time.thread_time()
        result = super().run_node(n)
        products = "bmm" in n.name or n.name.startswith("mm")
        part = PARTS[1] if n.op == "call_module" else PARTS[0 if products else 2]
        self.seconds[part] += time.thread_time() - began
        return result


def parts(executor: str, runs: int, steps: int = 30) -> dict[str, object]:
    """Return what a step of the main case consists of, on one core, in milliseconds per run and step."""
    torch.set_num_threads(1)
    stack = trainer(MAIN, random_data(SHAPE), 60, runs, executor)
    list(stack._train(3))
    (step,) = stack.executor._programs.values()
    clock = _Clock(step.run.__self__)
    object.__setattr__(step, "run", clock.run)
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    for _ in range(ROUNDS):
        clock.seconds = dict.fromkeys(PARTS, 0.0)
        list(stack._train(stack.state.step + steps))
        for part, seconds in clock.seconds.items():
            found[part].append(seconds / steps / runs * 1e3)
    total = sum(map(statistics.median, found.values()))
    row: dict[str, object] = {"executor": executor, "runs of the stack": runs}
    row |= {f"{part}, ms": table.spread(values, 3) for part, values in found.items()}
    share = statistics.median(found[PARTS[0]]) / total
    return {**row, "share of the products": f"{share:.2f}", "n": ROUNDS, "threads": "1"}


def main() -> None:
    asked = [int(word) for word in sys.argv[1:]]
    for threads in asked or sorted({1, torch.get_num_threads()}):
        rows = []
        for net in NETS:
            rows.append(compared(net, threads))
            print(rows[-1], flush=True)
        table.write("compiled", rows, others_stay=(table.HERE / "results" / "compiled.csv").exists())
    table.write("compiled_parts", [parts(name, 20) for name in ("vectorized", "compiled")])


if __name__ == "__main__":
    main()

"""Measures the time per run and step against the number of runs in a stack, on a CPU.

    python benchmarks/stack_size.py     # about 3 minutes on 2 quiet cores

MLPs over 784 inputs, sigmoid, batch normalization, batch 60. The rule in `normbench/planning/stacks.py`
(`CPU_STACK_BYTES`) rests on the result: with too few runs Python's overhead dominates, and with too many the
stack exceeds the cache.
"""

from __future__ import annotations

import table
from stacks import alternate, random_data, steps_of, trainer

MODEL = "{{name: mlp, depth: {}, width: {}, activation: sigmoid, norm: batchnorm}}"
NETS = (  # depth, width, optimizer, numbers of runs, numbers of seeds, runs x steps per measurement
    (3, 100, "sgd", (2, 4, 6, 10, 16, 20, 30, 60), (1, 3), 240),
    (10, 256, "sgd", (3, 5, 7, 10, 16), (1,), 60),
    (10, 256, "adam", (3, 5, 7, 10, 16), (1,), 60),
    (3, 1000, "sgd", (2, 4, 6, 10), (1,), 30),
    (3, 1000, "adam", (2, 4, 6, 10), (1,), 30),
)


def main() -> None:
    data = random_data((1, 28, 28))
    rows = []
    for depth, width, optimizer, sizes, counts, work in NETS:
        model, weights = MODEL.format(depth, width), {}
        measures = {}
        for size, seeds in ((size, seeds) for size in sizes for seeds in counts if size >= seeds):
            stack = trainer(model, data, 60, size, "vectorized", seeds, optimizer)
            weights[size] = size * stack.parameters * 4 / 2**20
            measures[size, seeds] = steps_of(stack, max(4, work // size))
        rows += [
            {
                "net": f"{depth} x {width}, {optimizer}",
                "runs in the stack": size,
                "their weights, MB": f"{weights[size]:.0f}",
                "seeds": seeds,
                "ms for a run and step": table.spread(values, 3),
                "n": len(values),
            }
            for (size, seeds), values in alternate(measures, rounds=7).items()
        ]
        print(*rows[-len(measures) :], sep="\n", flush=True)
    table.write("stack_size", rows)


if __name__ == "__main__":
    main()

"""How many runs make a good stack on a CPU? Time for each run and step against the number of runs.

    python benchmarks/stack_size.py

MLP 784-100-100-100-10, sigmoid, batch normalization, batch 60. The rule in `normbench/plan.py`
(`CPU_STACK_BYTES`) rests on it: too few runs leave the machine to Python, too many leave the cache.
"""

from __future__ import annotations

import table
from stacks import alternate, random_data, steps_of, trainer

SIZES = (2, 4, 6, 10, 16, 20, 30, 60)
MODEL = "{name: mlp, depth: 3, width: 100, activation: sigmoid, norm: batchnorm}"


def main() -> None:
    data = random_data((1, 28, 28))
    measures = {
        (size, seeds): steps_of(trainer(MODEL, data, 60, size, "vectorized", seeds), max(4, 240 // size))
        for size in SIZES
        for seeds in (1, 3)
        if size >= seeds
    }
    figures = alternate(measures, rounds=7)
    rows = [
        {
            "runs in the stack": size,
            "seeds": seeds,
            "ms for a run and step": table.spread(values, 3),
            "n": len(values),
        }
        for (size, seeds), values in figures.items()
    ]
    table.write("stack_size", rows)


if __name__ == "__main__":
    main()

"""How many runs make a good stack on a CPU? Time for each run and step against the number of runs.

    python benchmarks/stack_size.py

MLP 784-100-100-100-10, sigmoid, batch normalization, batch 60. The rule in `normbench/plan.py`
(`CPU_STACK_BYTES`) rests on it: too few runs leave the machine to Python, too many leave the cache.
"""

from __future__ import annotations

from stacks import alternate, line, random_data, steps_of, trainer

SIZES = (2, 5, 10, 20, 30, 45, 60, 90)
MODEL = "{name: mlp, depth: 3, width: 100, activation: sigmoid, norm: batchnorm}"

if __name__ == "__main__":
    data = random_data((1, 28, 28))
    measures = {
        f"{size} runs, {seeds} seed{'s' * (seeds > 1)}": steps_of(
            trainer(MODEL, data, 60, size, "vectorized", seeds), max(4, 240 // size)
        )
        for size in SIZES
        for seeds in (1, 3)
        if size >= seeds
    }
    figures = alternate(measures, rounds=5)
    base = next(iter(figures.values()))
    for name, values in figures.items():
        print(line(name, values, base))

"""Everything around training: `--help`, a plan of 10,000 cells, figures of large results, the quickstart.

    python benchmarks/around.py          # about 4 minutes on 2 quiet cores

Each is a whole process, from its start to its end, with the largest memory that it held.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import table
from processes import ROOT, timed

sys.path.insert(0, str(ROOT / "tests"))
from synthetic import RATES, write_results

CELLS = """
name: many
seeds: 1
data: {name: digits}
model: {name: mlp}
sweep:
  model.depth: {range: {from: 1, to: 10}}
  model.norm: [none, batchnorm, layernorm, weightnorm, mean_only_batchnorm]
  model.width: [8, 16, 24, 32, 40, 48, 56, 64]
  optimizer.lr: {logspace: {from: 0.001, to: 10, num: 25}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        many = place / "many.yaml"
        many.write_text(CELLS)
        axes = {
            "model.norm": ["none", "batchnorm", "layernorm", "weightnorm"],
            "model.depth": [2, 3, 4, 5, 6],
            "optimizer.lr": RATES[:10],
        }
        large = write_results(place / "large", axes=axes, evaluations=200, diverge=False)
        axes["model.width"] = list(range(10, 110, 10))
        huge = write_results(place / "huge", axes=axes, evaluations=100, diverge=False)
        work = {
            "`normbench --help`": (["--help"], rounds),
            "`plan` of 10,000 cells": (["plan", str(many)], rounds),
            "`plot` of 1,000 runs x 200 evaluations": (["plot", str(large)], rounds),
            "`plot` of 10,000 runs x 100 evaluations": (["plot", str(huge)], min(rounds, 3)),
        }
        quickstart = ["-m", "normbench", "run", "configs/quickstart.yaml"]
        figures: dict[str, list[tuple[float, float]]] = {what: [] for what in [*work, "quickstart"]}
        for turn in range(rounds):
            for what, (arguments, most) in work.items():
                if turn < most:
                    figures[what].append(timed(["-m", "normbench", *arguments]))
            results = str(place / f"results{turn}")
            figures["quickstart"].append(timed([*quickstart, "--results", results]))
    rows = [
        {
            "what": what,
            "seconds": table.spread([seconds for seconds, _ in values]),
            "most memory, MB": f"{max(memory for _, memory in values):,.0f}",
            "n": len(values),
        }
        for what, values in figures.items()
    ]
    table.write("around", rows)


if __name__ == "__main__":
    main()

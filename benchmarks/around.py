"""Times everything around training: `--help`, a plan of 10,000 cells, large figures, the quickstart.

    python benchmarks/around.py                # about 13 minutes on 2 quiet cores
    python benchmarks/around.py --only plan    # only rows with this in their name

Each measurement is a whole process, from start to end, with its peak memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import table
from processes import ROOT, timed

sys.path.insert(0, str(ROOT / "tests"))
from helpers.synthetic import RATES, write_results

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


MORE_CELLS = CELLS.replace("[8, 16, 24, 32, 40, 48, 56, 64]", "{range: {from: 8, to: 640, step: 8}}")
BOOK = sorted(str(path) for path in (ROOT / "configs" / "claims").glob("*.yaml"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="measure rows with this in their name; keep other rows")
    options = parser.parse_args()
    rounds = options.rounds
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        many = place / "many.yaml"
        many.write_text(CELLS)
        more = place / "more.yaml"
        more.write_text(MORE_CELLS)
        typo = place / "typo.yaml"
        typo.write_text(CELLS.replace("model.depth", "model.dept"))
        axes = {
            "model.norm": ["none", "batchnorm", "layernorm", "weightnorm"],
            "model.depth": [2, 3, 4, 5, 6],
            "optimizer.lr": RATES[:10],
        }
        wide = {**axes, "model.width": list(range(10, 110, 10))}
        # Steps that the evaluations divide: otherwise rows are missing, and their search is measured, too.
        large, huge = place / "large", place / "huge"
        work: dict[str, tuple[list[str], int, Callable[[], object]]] = {
            "`normbench --help`": (["--help"], rounds, int),
            "a mistyped key": (["plan", str(typo)], rounds, int),
            "`plan` of 10,000 cells": (["plan", str(many)], rounds, int),
            "`plan` of 100,000 cells": (["plan", str(more)], rounds, int),
            f"`plan` of the {len(BOOK)} configs of the book": (["plan", *BOOK], rounds, int),
            "`plot` of 1,000 runs x 200 evaluations": (
                ["plot", str(large)],
                rounds,
                partial(write_results, large, axes=axes, steps=995, evaluations=200, diverge=False),
            ),
            "`plot` of 10,000 runs x 100 evaluations": (
                ["plot", str(huge)],
                min(rounds, 3),
                partial(write_results, huge, axes=wide, steps=990, evaluations=100, diverge=False),
            ),
            "quickstart": (["run", "configs/quickstart.yaml", "--results"], rounds, int),
        }
        work = {what: entry for what, entry in work.items() if options.only in what}
        for _, _, prepare in work.values():
            prepare()
        figures: dict[str, list[tuple[float, float]]] = {what: [] for what in work}
        for turn in range(rounds):
            for what, (arguments, most, _) in work.items():
                if turn < most:
                    own = [str(place / f"results{turn}")] if arguments[-1] == "--results" else []
                    refused = 2 if "mistyped" in what else 0
                    figures[what].append(timed(["-m", "normbench", *arguments, *own], refused))
    rows = [
        {
            "what": what,
            "seconds": table.spread([seconds for seconds, _ in values]),
            "most memory, MB": f"{max(memory for _, memory in values):,.0f}",
            "n": len(values),
        }
        for what, values in figures.items()
    ]
    table.write("around", rows, others_stay=bool(options.only))


if __name__ == "__main__":
    main()

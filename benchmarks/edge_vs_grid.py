"""Compares the search for the edge of the rates that train with a grid of all rates that it may try.

    python benchmarks/edge_vs_grid.py                       # configs/edge_mnist.yaml: 10 minutes of one core
    python benchmarks/edge_vs_grid.py --results DIR         # keep the records, and continue from them
    python benchmarks/edge_vs_grid.py --set train.steps=100 --set seeds=1

The same cells and seeds are trained by a sweep with `optimizer.lr: {edge: ...}` and by a sweep with the list
of all its rates. For each cell and seed, both give a largest rate that trains. They agree if their ratio is
at most one step of the lattice. If they disagree, the grid must have a hole below the search's edge: rates
that do not train between rates that do. A search that skips rates cannot see it.

The script prints a table in Markdown, the share of cells and seeds that agree, and the training steps of both
sweeps. The exit code is 1 if less than 90 % agree, if a disagreement is not a hole, or if the search took
more than a fifth of the grid's steps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

CONFIG = Path(__file__).parent.parent / "configs" / "edge_mnist.yaml"


def train(config: Path, overrides: list[str], folder: Path) -> tuple[Path, Path]:
    """Train the search and the grid; return their folders."""
    from normbench import api
    from normbench.cli.progress import reporter_for

    searched = api.plan(config, overrides)
    rates = sorted({run.settings.optimizer.lr for run in searched.runs})
    listed = ", ".join(f"{rate:.12g}" for rate in rates)
    grid = [f"sweep.optimizer.lr=[{listed}]", f"name={searched.experiment.name}_grid"]
    folders = []
    for changes in ([], grid):
        done = api.run(
            config, [*overrides, *changes], results=folder, device="cpu", threads=1, reporter=reporter_for()
        )
        folders.append(done.folder)
    return folders[0], folders[1]


def compare(search: Path, grid: Path) -> bool:
    """Print the table; return whether the search meets the conditions above."""
    import numpy as np

    from normbench.analysis.tables import load_tables
    from normbench.analysis.variants import edges, levels
    from normbench.names import RATE

    one, other = load_tables(search), load_tables(grid)
    keys = tuple(key for key in one.varied if key != RATE)
    found, true = edges(one.runs, keys), edges(other.runs, keys)
    cells = levels(one.runs, keys)
    rates = np.sort(other.runs[RATE].unique())
    step = float((rates[1:] / rates[:-1]).max())
    print(f"| {' | '.join(keys)} | seed | search: trains up to, next | grid | |\n|{'---|' * (len(keys) + 4)}")
    agree = holes = count = 0
    for code, values in enumerate(cells.values):
        for seed, edge in found[code].items():
            exact = true[code][seed]
            count += 1
            if edge is None or exact is None:
                same, gap = edge is exact, []
            else:
                same = abs(np.log(edge.top / exact.top)) <= np.log(step) * (1 + 1e-9)
                gap = [rate for rate in exact.holes if rate <= edge.top]
            agree += same
            holes += bool(gap) and not same
            remark = (
                ""
                if same
                else f"hole: the grid trains again at {len(gap)} rates up to {gap[-1]:g}"
                if gap
                else "?"
            )
            texts = ["-" if e is None else f"{e.top:.3g}, {e.next:.3g}" for e in (edge, exact)]
            print(f"| {' | '.join(map(str, values))} | {seed} | {' | '.join(texts)} | {remark} |")
    steps = [int(tables.runs["steps"].sum()) for tables in (one, other)]
    runs = [len(tables.runs) for tables in (one, other)]
    share = steps[0] / steps[1]
    print(
        f"\n{agree} of {count} cells and seeds agree to the factor {step:.4f}; of the {count - agree} others "
        f"{holes} are holes.\nThe search made {runs[0]:,} runs of {steps[0]:,} steps in all, the grid "
        f"{runs[1]:,} of {steps[1]:,}: {100 * share:.1f} % of the steps."
    )
    return agree >= 0.9 * count and holes == count - agree and share <= 0.2


def main() -> None:
    """Train both sweeps and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=CONFIG, help="a config with an edge")
    parser.add_argument("--results", type=Path, help="folder for both sweeps (default: temporary)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="as in `normbench run`"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = train(options.config, options.set, options.results or Path(temporary))
        sys.exit(not compare(*folders))


if __name__ == "__main__":
    main()

"""Kills small sweeps 100 times, and damages 100 results folders; nothing finished may be lost.

    python benchmarks/torture_folders.py                   # 100 kills and 100 damages, about 10 minutes
    python benchmarks/torture_folders.py --kills 10 --damages 0

The kills (SIGKILL) are spread evenly over the time of four commands: a training with merges and checkpoints,
the drawing of its figures, a replay for a probe that was added, and a search for the edge of the learning
rates. After each, the same command runs again to its end. The records must be those of a command that was not
killed, and a row that was finished at the kill must be the same byte for byte, its training time included.

The damages are of 14 kinds (tests/helpers/torture.py), drawn by seed: half of the folders are finished, half
have an interrupted stack. `status`, `verify`, `plot` and `run` must each end with a result or a sentence.
Files outside of the folder and foreign files in it must stay as they are. Where `run` refuses, the records
must stay as they are. Where it goes on, all runs must have a result in the end; if the kind loses nothing, no
finished run may be trained again, and the numbers must be those of an undisturbed training.

The exit code is 1 if anything of that failed. It needs a POSIX system.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import helpers.torture as torture


def counted(what: str, number: int, first: int, do_one: Callable[[int], str]) -> int:
    """Do something this many times; print the counts by what came of it, and return the failures."""
    counts: Counter[str] = Counter()
    for one in range(first, first + number):
        try:
            came = do_one(one)
            counts[came] += 1
            print(f"{what} {one}: {came}", flush=True)
        except Exception as error:
            counts["FAILED"] += 1
            print(f"{what} {one}: {''.join(traceback.format_exception(error))}", flush=True)
    for name, times in sorted(counts.items()):
        print(f"{what}: {times:4} {name}", flush=True)
    return counts["FAILED"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--damages", type=int, default=100)
    parser.add_argument("--of", type=int, default=100, help="the kills of a whole series, evenly spread")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first kill, seed of the first damage"
    )
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        if options.kills:
            torch.set_num_threads(1)  # with more, a process that has trained cannot be forked
            torture.command(root / "warm", torture.EDGE)  # the children of a fork have all modules then
            every = [
                ("training", torture.CONFIG, None, "--no-figures"),
                ("drawing", torture.CONFIG, torture.CONFIG),
                ("replay", torture.PROBED, torture.CONFIG, "--no-figures"),
                ("edge search", torture.EDGE, None, "--no-figures"),
            ]
            scenarios = [
                torture.Scenario(name, root, config, before, *more)
                for name, config, before, *more in every[: options.kills]
            ]
            each = -(-max(options.kills, options.of) // len(scenarios))

            def kill(number: int) -> str:
                scenario = scenarios[number % len(scenarios)]
                doing = scenario.kill((number // len(scenarios) + 0.5) / each, number)
                return f"{scenario.name}: {doing or 'ended before the kill'}"

            failed += counted("kills", options.kills, options.first, kill)
        if options.damages:
            damages = torture.Damages(root)
            failed += counted(
                "damages", options.damages, options.first, lambda seed: ": ".join(damages.try_one(seed))
            )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Measures how often verdicts are wrong if seeds are added until they are decided (`run --decide`).

    python benchmarks/verdict_sequential.py                     # 1,000 experiments each
    python benchmarks/verdict_sequential.py --experiments 100   # quick
    python benchmarks/verdict_sequential.py --row "mean, normal" --experiments 4000     # a row of the table

The experiments are those of verdict_estimators.py, with 30 seeds. At the bound, the truth is exactly the
bound of the claim, so every verdict is false. With an effect, it lies beyond, and `supported` is right. Each
experiment is looked at as `run --decide` does it: the looks, their weights and the smallest alpha come from
the functions that judge. Beside it stands naive peeking: the 95 % interval after each seed from the fifth on,
until it decides; and 10 seeds, looked at once. Holm's correction is off, because each experiment represents a
file of its own.

The first experiments of the means are also written to runs.csv and looks.csv and judged as by `normbench
verify`. Both ways must give the same verdict and p-value; otherwise the script ends with the difference.

The exit code is 1 if more than 5 % are falsely decided at the looks, by more than two standard errors. The
mean under failing seeds is excepted, as in verdict_estimators.py.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from verdict_estimators import CASES, EXCEPTED, RATES, SHARE, Draw, Sides, normal, spread

from normbench.analysis.comparison import Comparison
from normbench.analysis.pairing import Group, Readings
from normbench.analysis.verify import verify
from normbench.measures.claim import Claim, estimator_of
from normbench.records import write_csv
from normbench.records.looks import RecordedLook, write_looks
from normbench.records.schema import runs_table
from normbench.stats.corrections import ALPHA, holds
from normbench.stats.intervals import LEVEL
from normbench.stats.looks import MOST_SEEDS, Look, over_looks, smallest_alpha, weights_of

FIXED = 10  # seeds of an experiment without looks
PEEKS = range(5, MOST_SEEDS + 1)
Told = tuple[str, int, float, list[Look]]  # verdict, seeds, p over all looks, the looks


def at(claim: Claim, sides: Sides, n: int, resolution: float) -> Comparison:
    """Return the comparison of the first n seeds."""
    readings = [
        Readings(
            Group(name, pd.DataFrame(), ()), {(): dict(enumerate(side[:n]))}, 0, False, resolution=resolution
        )
        for name, side in zip(("of", "against"), sides, strict=True)
    ]
    return Comparison(claim, claim.measure, readings, range(n))


def by_looks(claim: Claim, sides: Sides, resolution: float) -> Told:
    """Return the verdict at the looks, which end as soon as it holds."""
    weights, looks = weights_of(estimator_of(claim)), list[Look]()
    for n in weights:
        comparison = at(claim, sides, n, resolution)
        blocked = bool(comparison.blockers())
        looks.append(Look(n, 1.0, "inconclusive") if blocked else Look(n, *smallest_alpha(comparison.word)))
        p, best = over_looks(looks, weights)
        if best is not None and holds(p):
            return best.word, n, p, looks
    return "inconclusive", MOST_SEEDS, p, looks


def once(claim: Claim, sides: Sides, n: int, resolution: float) -> str:
    """Return the verdict of a single look at n seeds."""
    comparison = at(claim, sides, n, resolution)
    return "inconclusive" if comparison.blockers() else comparison.word(LEVEL)


def peeking(claim: Claim, sides: Sides, resolution: float) -> str:
    """Return the first verdict if the 95 % interval is looked at after each seed."""
    words = (once(claim, sides, n, resolution) for n in PEEKS)
    return next((word for word in words if word != "inconclusive"), "inconclusive")


def check_files(folder: Path, claim: Claim, sides: Sides, told: Told) -> None:
    """Exit with the difference if `verify` judges an experiment of accuracies otherwise."""
    word, n, p, looks = told
    names, rows = runs_table(["model.norm"]).names, []
    for norm, side in zip(("batchnorm", "none"), sides, strict=True):
        for seed, span in enumerate(side[:n]):
            cells = {"run_id": f"{len(rows):012x}", "seed": seed, "model.norm": norm, "decided": "none"}
            cells |= {"status": "finished", "outcome": "trains", "final_test_accuracy": span.estimate}
            rows.append([cells.get(name) for name in names])
    plain = {"id": claim.id, "statement": claim.statement, "measure": claim.measure.key()}
    plain["expect"] = claim.expect.model_dump(mode="json", exclude_none=True)
    plain |= {"of": {"model.norm": "batchnorm"}, "against": {"model.norm": "none"}}
    config = {"name": "simulated", "seeds": n, "sweep": {"model.norm": ["batchnorm", "none"]}}
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump({**config, "claims": [plain]}), encoding="utf-8")
    write_csv(folder / "runs.csv", names, rows)
    recorded = [
        RecordedLook(claim.id, "", place, tuple(range(look.n)), look.p, look.word, "now")
        for place, look in enumerate(looks, start=1)
    ]
    write_looks(folder, recorded)
    (one,) = verify(folder, correction="none", write=False).verdicts
    if one.verdict != word or not math.isclose(one.p, p, rel_tol=1e-6):
        sys.exit(f"{folder}: verify says {one.verdict} ({one.p}), the simulation {word} ({p})")


def main() -> None:
    """Simulate every case and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=1000, help="for each row and truth")
    parser.add_argument("--through-files", type=int, default=20, help="of the means, for each truth")
    parser.add_argument("--row", default="", help="rows that begin with this, such as 'mean, normal'")
    options = parser.parse_args()
    count, most = options.experiments, ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / options.experiments)
    print("| case | false: looks, peeking, 10 seeds | power: looks, 10 seeds | mean seeds with an effect |")
    print("|---|---|---|---|")
    one_sd: Draw = spread(normal, 0.01)
    cases = [("mean, normal, effect of 1 sd", *CASES[0][1:4], one_sd, 1.0), *CASES[1:]]
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name, measure, estimator, expect, draw, effect in cases:
            if not name.startswith(options.row):
                continue
            claim = Claim.model_validate(
                {
                    **{"id": "C", "statement": "It is so.", "measure": measure, "estimator": estimator},
                    **{"of": {"a": 1}, "against": {"a": 2}, "expect": expect},
                }
            )
            resolution = 1 / RATES if measure == SHARE else 0.0
            rng = np.random.default_rng(len(name))
            false, power, seeds = [0, 0, 0], [0, 0], 0
            for shift in (0.0, effect):
                for number in range(count):
                    sides = draw(rng, MOST_SEEDS, shift)
                    told = by_looks(claim, sides, resolution)
                    fixed = once(claim, sides, FIXED, resolution)
                    if name.startswith("mean") and number < options.through_files:
                        check_files(Path(folder, f"{name}-{shift}-{number}"), claim, sides, told)
                    if shift:
                        power[0] += told[0] == "supported"
                        power[1] += fixed == "supported"
                        seeds += told[1]
                    else:
                        words = (told[0], peeking(claim, sides, resolution), fixed)
                        false = [n + (word != "inconclusive") for n, word in zip(false, words, strict=True)]
            shares = [", ".join(f"{n / count:.3f}" for n in found) for found in (false, power)]
            print(f"| {name} | {' | '.join(shares)} | {seeds / count:.1f} |", flush=True)
            good &= name == EXCEPTED or false[0] / count <= most
    sys.exit(not good)


if __name__ == "__main__":
    main()

"""Made-up runs whose verdict is known, and the verdict on them."""

import math

import pytest

from helpers.results import claim, rate_runs, run, write
from normbench.analysis.judge import judge
from normbench.analysis.tables import load_tables
from normbench.measures.claim import Claim

RATES = [0.01, 0.1, 1, 10, 100]


BN, PLAIN = {"model.norm": "batchnorm"}, {"model.norm": "none"}


def edges(of, against, seeds=6, rates=RATES):
    """Return runs in which each seed of a group has these outcomes, one string for all or one for each."""
    runs = []
    for cell, outcomes in ((BN, of), (PLAIN, against)):
        each = [outcomes] * seeds if isinstance(outcomes, str) else outcomes
        for seed, one in enumerate(each):
            runs += rate_runs(cell, seed, rates, one)
    return runs


def scores(of, against, **values):
    """Return runs of which each seed has one final accuracy."""
    groups = ((BN, of), (PLAIN, against))
    return [
        run(cell, seed, final_test_accuracy=score, **values)
        for cell, own in groups
        for seed, score in enumerate(own)
    ]


def curves(of, against):
    """Return runs of which each seed reaches accuracy 0.9 at a step; None: never, 'D': it diverged."""
    runs = []
    for cell, steps in ((BN, of), (PLAIN, against)):
        for seed, step in enumerate(steps):
            curve = {at: 0.95 if isinstance(step, int) and at >= step else 0.5 for at in range(0, 1001, 100)}
            runs.append(run(cell, seed, "D" if step == "D" else "T", curve=curve))
    return runs


def verdict(folder, runs, measure, expect, **more):
    (one,) = verdicts(folder, runs, measure, expect, **more)
    return one


def verdicts(folder, runs, measure, expect, seeds=None, **more):
    write(folder, runs, seeds=seeds)
    return judge(Claim.model_validate(claim(measure, expect=expect, **more)), load_tables(folder))


def numbers(one):
    return pytest.approx((one.estimate, one.ci_low, one.ci_high), nan_ok=True)


INF, NAN = math.inf, math.nan


def deep(values, seeds=7, key="model.depth", places=(1, 2, 4), wobble=0.001):
    """Return runs with one accuracy for each value of a key."""
    return [
        run({key: place}, seed, final_test_accuracy=value + wobble * (seed % 2))
        for place, value in zip(places, values, strict=True)
        for seed in range(seeds)
    ]


def interaction(sgd, adam):
    """Return runs with a plain accuracy of 0.5 and these gains of batch normalization, by optimizer."""
    runs = []
    for name, gains in (("sgd", sgd), ("adam", adam)):
        for seed, gain in enumerate(gains):
            cell = {"optimizer.name": name}
            plain = 0.5 + 0.01 * seed
            runs.append(run({**cell, **PLAIN}, seed, final_test_accuracy=plain))
            runs.append(run({**cell, **BN}, seed, final_test_accuracy=plain + gain))
    return runs

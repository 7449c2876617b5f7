# ruff: noqa: E501  (a table with one case in a line)
"""Measures how often verdicts by each estimator are wrong: by the rules of version 0.2, and by those of now.

    python benchmarks/verdict_estimators.py                     # 2,000 experiments each, about 3 minutes
    python benchmarks/verdict_estimators.py --experiments 200   # quick

Each case draws the readings of two nets, seed by seed. At the bound, the truth is exactly the bound of the
claim: `supported` and `refuted` both count as false. With an effect, the truth lies beyond the bound, and
`supported` is right. `after` is judged by `Comparison`, which judges every claim. `before` is the rule of
version 0.2: Student-t without a sign test, no verdict where a seed has no rate, order statistics for steps,
and Newcombe's interval of two unpaired shares. Holm's correction is off.

The exit code is 1 if more than 5 % are falsely supported or falsely refuted after, by more than two standard
errors. The mean under failing seeds is excepted: the row shows why it is not to be trusted there.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from normbench.analysis.comparison import Comparison
from normbench.analysis.pairing import Group, Readings
from normbench.measures.claim import Claim
from normbench.stats.intervals import LEVEL, Span, exactly, span_interval, weighted, wilson

SEEDS = (3, 5, 6, 10, 20)
RATES = 11  # of a sweep, half a decade apart
Sides = tuple[list[Span], list[Span]]
Draw = Callable[[np.random.Generator, int, float], Sides]
ACCURACY, RATE, SHARE = "final_accuracy", "max_stable_lr", "share_that_trains"
STEPS = {"name": "steps_to_target", "target": 0.9}


def spread(noise: Callable[[np.random.Generator, int], np.ndarray], size: float) -> Draw:
    """Return accuracies whose differences are an effect plus this noise; the effect is in its units."""

    def draw(rng: np.random.Generator, n: int, effect: float) -> Sides:
        of = noise(rng, n) * size + effect * size
        return [exactly(float(x)) for x in of], [exactly(0.0)] * n

    return draw


def failing(rng: np.random.Generator, n: int, effect: float) -> Sides:
    """Return accuracies of which 15 % fail, each net and seed by itself; the others differ by an effect."""
    of, against = (0.9 + 0.01 * rng.standard_normal((2, n))) + np.array([[0.01 * effect], [0.0]])
    of[rng.random(n) < 0.15], against[rng.random(n) < 0.15] = 0.1, 0.1
    return [exactly(float(x)) for x in of], [exactly(float(x)) for x in against]


def rates(without: float) -> Draw:
    """Return largest rates on a grid of quarter decades; a share of plain seeds train at none."""

    def draw(rng: np.random.Generator, n: int, effect: float) -> Sides:
        base = rng.uniform(-1.5, -0.5)
        sides = []
        for shift in (math.log10(3) + effect, 0.0):
            edges = base + shift + 0.13 * rng.standard_normal(n)  # 0.3 of the natural logarithm
            low = np.floor(edges * 4) / 4
            sides.append([Span(10**x, 10 ** (x + 0.25), 10 ** (x + 0.125)).log() for x in low])
        lost = rng.random(n) < without
        return sides[0], [exactly(0.0).log() if gone else x for gone, x in zip(lost, sides[1], strict=True)]

    return draw


def shares(rng: np.random.Generator, n: int, effect: float) -> Sides:
    """Return shares of 11 rates that train; the seeds of both nets have a part of their edge in common."""
    common, place = 0.3 * rng.standard_normal(n), rng.random()
    own = 0.2 * rng.standard_normal((2, n))
    sides = [
        [
            exactly(float(np.clip(np.floor(5 + place + 2 * effect * first + x), 0, RATES) / RATES))
            for x in common + one
        ]
        for first, one in ((1, own[0]), (0, own[1]))
    ]
    return sides[0], sides[1]


def steps(every: int, end: float, fails: float) -> Draw:
    """Return steps to a target between evaluations; unreached by the end, or never by diverged seeds."""

    def draw(rng: np.random.Generator, n: int, effect: float) -> Sides:
        sides = []
        for shift in (-effect, 0.0):
            exact = 300 * np.exp(shift + 0.3 * rng.standard_normal(n))
            lost = rng.random(n) < fails
            spans = []
            for x, gone in zip(exact, lost, strict=True):
                high = math.ceil(x / every) * every
                if gone:
                    spans.append(exactly(math.inf))
                elif high > end:
                    spans.append(Span(end, math.inf, math.inf))
                else:
                    spans.append(Span(high - every, high, high))
            sides.append([span.log() for span in spans])
        return sides[0], sides[1]

    return draw


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return normal noise."""
    return rng.standard_normal(n)


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return noise with heavy tails: Student-t with 2 degrees of freedom."""
    return rng.standard_t(2, n)


def tied(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return noise of which most is exactly 0, as of nets that both classify all images correctly."""
    return np.where(rng.random(n) < 0.15, rng.choice([-1.0, 1.0], n), 0.0)


# name, measure, estimator on request, expectation, draw, effect for the power
CASES: tuple[tuple[str, str | dict[str, object], str | None, dict[str, float], Draw, float], ...] = (
    ("mean, normal", ACCURACY, None, {"difference_at_least": 0}, spread(normal, 0.01), 1.5),
    ("mean, heavy tails", ACCURACY, None, {"difference_at_least": 0}, spread(heavy, 0.01), 1.5),
    ("mean, ties", ACCURACY, None, {"difference_at_least": 0}, spread(tied, 0.01), 1.5),
    ("mean, 15 % of seeds fail", ACCURACY, None, {"difference_at_least": 0}, failing, 3.0),
    ("median on request, 15 % fail", ACCURACY, "median", {"difference_at_least": 0}, failing, 3.0),
    ("median on request, heavy tails", ACCURACY, "median", {"difference_at_least": 0}, spread(heavy, 0.01), 1.5),
    ("signed rank on request, heavy tails", ACCURACY, "signed_rank", {"difference_at_least": 0}, spread(heavy, 0.01), 1.5),
    ("rates, all seeds have one", RATE, None, {"ratio_at_least": 3}, rates(0.0), math.log10(10 / 3)),
    ("rates, 20 % of plain seeds have none", RATE, None, {"ratio_at_least": 3}, rates(0.2), math.log10(10 / 3)),
    ("shares of 11 rates", SHARE, None, {"difference_at_least": 0}, shares, 1.0),
    ("steps, dense evaluations", STEPS, None, {"ratio_at_most": 1}, steps(5, math.inf, 0.0), 0.6),
    ("steps, coarse evaluations", STEPS, None, {"ratio_at_most": 1}, steps(100, math.inf, 0.0), 0.6),
    ("steps, some unreached at the end", STEPS, None, {"ratio_at_most": 1}, steps(5, 400, 0.0), 0.6),
    ("steps, 15 % of seeds diverge", STEPS, None, {"ratio_at_most": 1}, steps(5, math.inf, 0.15), 0.6),
)  # fmt: skip
EXCEPTED = "mean, 15 % of seeds fail"


def after(claim: Claim, sides: Sides, resolution: float) -> str:
    """Return the verdict as `normbench verify` makes it."""
    readings = [
        Readings(
            Group(name, pd.DataFrame(), ()), {(): dict(enumerate(side))}, 0, False, resolution=resolution
        )
        for name, side in zip(("of", "against"), sides, strict=True)
    ]
    comparison = Comparison(claim, claim.measure, readings, range(len(sides[0])))
    return "inconclusive" if comparison.blockers() else comparison.word(LEVEL)


def before(claim: Claim, sides: Sides) -> str:
    """Return the verdict by the rule of version 0.2."""
    n, name = len(sides[0]), claim.measure.key()
    if name == SHARE:
        ends = _newcombe(*([span.estimate for span in side] for side in sides))
    else:
        if name == RATE and any(math.isinf(span.low) for side in sides for span in side):
            return "inconclusive"
        median = name == "steps_to_target"
        if median and n < 6:
            return "inconclusive"
        pairs = [weighted(pair, (1, -1)) for pair in zip(*sides, strict=True)]
        found = span_interval(pairs, "median" if median else "t")
        ends = found.low, found.high
    low, high = claim.region
    if claim.comparison == "ratio":
        low, high = (Span(low, high, 1.0).log().low, Span(low, high, 1.0).log().high)
    if ends[0] >= low and ends[1] <= high:
        return "supported"
    return "refuted" if ends[1] < low or ends[0] > high else "inconclusive"


def _newcombe(of: Sequence[float], against: Sequence[float]) -> tuple[float, float]:
    one, other = (wilson(sum(values), len(values)) for values in (of, against))
    middle = one.estimate - other.estimate
    below = math.hypot(one.estimate - one.low, other.high - other.estimate)
    above = math.hypot(one.high - one.estimate, other.estimate - other.low)
    return middle - below, middle + above


def main() -> None:
    """Simulate every case and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=2000, help="for each row and truth")
    count = parser.parse_args().experiments
    print(
        "| case | n | false `supported` before, after | false `refuted` before, after | power before, after |"
    )
    print("|---|---|---|---|---|")
    good, most = True, 0.05 + 2 * math.sqrt(0.05 * 0.95 / count)
    for name, measure, estimator, expect, draw, effect in CASES:
        claim = Claim.model_validate(
            {
                **{"id": "C", "statement": "It is so.", "measure": measure, "estimator": estimator},
                **{"of": {"a": 1}, "against": {"a": 2}, "expect": expect},
            }
        )
        resolution = 1 / RATES if measure == SHARE else 0.0
        for n in SEEDS:
            rng = np.random.default_rng([n, len(name)])
            told = []
            for shift in (0.0, effect):
                drawn = [draw(rng, n, shift) for _ in range(count)]
                told += [
                    [before(claim, sides) for sides in drawn],
                    [after(claim, sides, resolution) for sides in drawn],
                ]
            shown = [
                (told[0], told[1], "supported"),
                (told[0], told[1], "refuted"),
                (told[2], told[3], "supported"),
            ]
            pairs = [[words.count(word) / count for words in two] for *two, word in shown]
            print(f"| {name} | {n} | {' | '.join(f'{x:.3f}, {y:.3f}' for x, y in pairs)} |", flush=True)
            good &= name == EXCEPTED or max(pairs[0][1], pairs[1][1]) <= most
    sys.exit(not good)


if __name__ == "__main__":
    main()

"""What the claims of a plan can decide: the fewest seeds, and the power, at the level that Holm asks for.

Of m verdicts in a family, the first one must hold at 1 - 0.05/m. The fewest seeds are those at which the
estimator can decide at this level at all, however clear the effect. The power is the share of simulated
experiments that are supported at this level, by the same rule as in `verify`. Nothing is trained.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from normbench.config import Experiment
from normbench.config.members import members, verdicts_of
from normbench.measures.base import RateMeasure
from normbench.measures.claim import Claim, estimator_of
from normbench.stats.corrections import ALPHA
from normbench.stats.decide import decide, fewest_seeds
from normbench.stats.intervals import Estimator, Span, exactly, weighted

EXPERIMENTS = 500  # for each power: its standard error is at most 0.022
_WORDS: Mapping[Estimator, str] = {"t": "mean", "median": "median", "signed_rank": "signed rank"}
_MANY = 100  # seeds; beyond them nobody looks


@dataclass(frozen=True)
class Power:
    """The chance that a claim is supported if the truth is `truth`, in words."""

    truth: str
    power: float


@dataclass(frozen=True)
class Decidable:
    """What a claim can decide.

    Attributes:
        id: of the claim.
        family: of the claim, if it names one.
        verdicts: number of its verdicts.
        of: number of verdicts in its family.
        estimator: that is asked for.
        n: seeds of the config.
        needed: seeds from which on it can decide with this many verdicts; None if that takes over 100.
        spread: standard deviation over seeds of the differences (of logarithms for ratios), if it is known.
        powers: with n seeds; none for a ratio whose spread is not known.
    """

    id: str
    family: str | None
    verdicts: int
    of: int
    estimator: Estimator
    n: int
    needed: int | None
    spread: float | None
    powers: tuple[Power, ...]

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**vars(self), "powers": [vars(power) for power in self.powers]}


def decidable(experiment: Experiment, spread: float | Mapping[str, float] | None = None) -> list[Decidable]:
    """Return what each claim of a config can decide, in the order of the config.

    Args:
        experiment: the config.
        spread: of ratios, in natural logarithms; or those of each claim, by its id. Without it, powers of
            ratios are not known. Those of differences and slopes are told in spreads, whatever these are.
    """
    counts = [len(verdicts_of(one, experiment.cells)) * len(one.at_steps or [1]) for one in experiment.claims]
    totals: dict[str | None, int] = {}
    for claim, count in zip(experiment.claims, counts, strict=True):
        totals[claim.family] = totals.get(claim.family, 0) + count
    found = []
    for claim, count in zip(experiment.claims, counts, strict=True):
        of, n = totals[claim.family], len(experiment.seeds)
        known = spread.get(claim.id) if isinstance(spread, Mapping) else spread
        if claim.comparison != "ratio" and not isinstance(spread, Mapping):
            known = None  # the one number is in logarithms
        estimator = estimator_of(claim)
        needed = fewest(estimator, ALPHA / of)
        powers = tuple(_powers(claim, experiment, known, n, ALPHA / of))
        found.append(Decidable(claim.id, claim.family, count, of, estimator, n, needed, known, powers))
    return found


def notes(claims: Sequence[Decidable], seeds: Mapping[str, int] | None = None) -> list[str]:
    """Return a sentence for each estimator that cannot decide with the seeds that it gets.

    Args:
        claims: what they can decide.
        seeds: the most that `decide:` gives each claim, by its id; without it, claims have the config's own.
    """
    said: dict[str, None] = {}
    for one in claims:
        n = one.n if seeds is None else seeds[one.id]
        if one.needed is None or n < one.needed:
            text = f"with n = {n} and {one.of} verdict{'' if one.of == 1 else 's'} no "
            text += f"{_WORDS[one.estimator]} here can be decided; "
            text += f"{one.needed} seeds can" if one.needed else "far more seeds are needed"
            text += ": raise `seeds`, or "
            text += (
                "add seeds with `run --decide`" if seeds is None else "`max_seeds` or `claims` of `decide`"
            )
            said[text] = None
    return list(said)


def fewest(estimator: Estimator, alpha: float) -> int | None:
    """Return the smallest number of seeds at which an estimator can decide at 1 - alpha; None above 100."""
    clear = [exactly(1e6 + seed) for seed in range(_MANY)]
    for n in range(fewest_seeds(estimator), _MANY + 1):
        if decide(clear[:n], estimator, (0.0, math.inf), alpha).word != "inconclusive":
            return n
    return None


def _powers(claim: Claim, experiment: Experiment, spread: float | None, n: int, alpha: float) -> list[Power]:
    """Return the power at two truths beyond the bound, or, for `equal_within`, in the middle."""
    ratio, (low, high) = claim.comparison == "ratio", claim.region
    equal = claim.expect.kind == "equal_within"
    if spread is None and (ratio or equal):
        return []
    if ratio:
        low, high = (math.log(end) if end else -math.inf for end in (low, high))
    step = _grid_step(claim, experiment) if ratio else 0.0
    size = spread or 1.0
    if equal:
        truths = {"in the middle": (low + high) / 2}
    else:
        bound, sign = (high, -1) if math.isinf(low) else (low, 1)
        if ratio:
            truths = {f"{by} times the bound": bound + sign * math.log(by) for by in (2, 3)}
        else:
            names = ("1 spread beyond the bound", "2 spreads beyond the bound")
            truths = {name: bound + sign * by * size for by, name in enumerate(names, start=1)}
    return [
        Power(name, _power(truth, (low, high), size, step, estimator_of(claim), n, alpha))
        for name, truth in truths.items()
    ]


@cache
def _power(
    truth: float,
    region: tuple[float, float],
    spread: float,
    step: float,
    estimator: Estimator,
    n: int,
    alpha: float,
) -> float:
    """Return the share of experiments that are supported if seeds are normal around the truth.

    Args:
        truth: of the differences.
        region: what is expected of them.
        spread: their standard deviation.
        step: of the grid of rates on which both sides are read, 0 if there is none.
        estimator: of the mean or median.
        n: number of seeds.
        alpha: 1 minus the level.
    """
    if n < fewest_seeds(estimator):
        return 0.0
    draws, decided = np.random.default_rng(0), 0
    for _ in range(EXPERIMENTS):
        if step:
            place = step * draws.random()
            sides = place + spread / math.sqrt(2) * draws.standard_normal((n, 2)) + [truth, 0.0]
            lows = np.floor(sides / step) * step
            spans = [[Span(x, x + step, x + step / 2) for x in row] for row in lows.tolist()]
            seeds = [weighted(row, (1, -1)) for row in spans]
        else:
            seeds = [exactly(x) for x in (truth + spread * draws.standard_normal(n)).tolist()]
        decided += decide(seeds, estimator, region, alpha).word == "supported"
    return decided / EXPERIMENTS


def _grid_step(claim: Claim, experiment: Experiment) -> float:
    """Return the widest step of the grid of rates, as a natural logarithm.

    Only the largest rate is bounded by the grid; for any other measure the step is 0.
    """
    if not isinstance(claim.measure, RateMeasure):
        return 0.0
    cells = [experiment.cells[place] for place in members(claim, {}, experiment.cells)]
    rates = sorted({float(cell.settings.optimizer.lr) for cell in cells})
    return max((math.log(b / a) for a, b in itertools.pairwise(rates)), default=0.0)

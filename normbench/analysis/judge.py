"""Judges claims: groups and pairs the runs, asks the measure, holds the interval against what is expected.

`supported` and `refuted` only where the whole interval lies on one side; else `inconclusive`, and why.
Many verdicts of one file are corrected by Holm's method: each must also hold at a stricter level, so that all
are right together with 95 %. The intervals that are shown stay those of 95 %.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from normbench.analysis.comparison import Comparison, Word
from normbench.analysis.pairing import At, cases, groups_of, matching, prepared, read, select, shared_seeds
from normbench.analysis.tables import Tables, load_layers
from normbench.analysis.variants import label
from normbench.errors import ConfigError
from normbench.measures import Measure, Rows
from normbench.measures.claim import Claim
from normbench.names import RATE
from normbench.stats.intervals import LEVEL, NAN, Interval

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Verdict:
    """One claim (for one value of its `for_each`), judged. NaN: cannot be said."""

    id: str
    statement: str
    verdict: Word
    estimate: float  # a ratio, a difference or a slope: see `comparison`
    ci_low: float
    ci_high: float
    n: int  # seeds
    reason: str
    claim: Claim
    measure: Measure  # as taken, its target filled in
    at: At
    steps: str
    # What it would be at another level of the interval; None where something else than its width decides.
    at_level: Callable[[float], Word] | None = field(default=None, repr=False, compare=False)

    @property
    def group(self) -> str:
        """Return which value of `for_each` it is about: `depth 3, activation relu`."""
        return _at_text(self.at) if self.at else ""


def judge(claim: Claim, tables: Tables) -> list[Verdict]:
    """Return a verdict for each value of the claim's `for_each`, each taken by itself (no correction)."""
    ready = prepared(tables)
    missing = [key for key in claim.keys if key != "seed" and key not in ready.swept]
    if missing:
        return [_verdict(claim, ready, {}, f"the runs have no column {', '.join(missing)}")]
    if claim.measure.over_rates and RATE not in ready.swept:
        return [_verdict(claim, ready, {}, f"the runs have no column {RATE}")]
    layers = Rows(load_layers(tables) if claim.measure.reads == "layers" else tables.metrics[:0])
    found = [_judge(claim, ready, at, runs, layers) for at, runs in cases(claim, ready)]
    return found or [_verdict(claim, ready, {}, "no run belongs to its groups")]


def judge_all(tables: Tables, correction: Literal["holm", "none"] = "holm") -> list[Verdict]:
    """Return the verdicts on all claims of an experiment's config, corrected for their number."""
    verdicts = [verdict for claim in claims_of(tables) for verdict in judge(claim, tables)]
    return holm(verdicts) if correction == "holm" else verdicts


def claims_of(tables: Tables) -> list[Claim]:
    """Return the claims that the folder's config.yaml holds."""
    found = []
    for index, plain in enumerate(tables.config.get("claims") or []):
        try:
            found.append(Claim.model_validate_json(json.dumps(plain)))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, ("claims", index, *first["loc"])))
            raise ConfigError(
                f"{tables.folder / 'config.yaml'}: {where}: {first['msg']}; mend it in the config and run it "
                "again (`normbench plan` explains it)"
            ) from None
    return found


def holm(verdicts: Sequence[Verdict], level: float = LEVEL) -> list[Verdict]:
    """Return the verdicts so that all that are not inconclusive hold together at the level (Holm 1979).

    The m verdicts that an interval decides are taken from the clearest on: the first must hold at
    1 - alpha/m, the next at 1 - alpha/(m - 1), and so on; from the first that fails, all are inconclusive.
    """
    tested = [one for one in verdicts if one.at_level is not None]
    if len(tested) < 2:
        return list(verdicts)
    left, holding = list(tested), set[int]()
    for divisor in range(len(tested), 0, -1):
        stricter = 1 - (1 - level) / divisor
        clear = next((one for one in left if one.at_level and one.at_level(stricter) != "inconclusive"), None)
        if clear is None:
            break
        left = [one for one in left if one is not clear]
        holding.add(id(clear))
    name = f"Holm's correction for {len(tested)} verdicts"
    corrected = []
    for one in verdicts:
        if one.at_level is not None and one.verdict != "inconclusive":
            if id(one) in holding:
                one = replace(one, reason=f"{one.reason}; {name}")
            else:
                text = f"{one.verdict} by itself, but not with {name}; {one.reason}"
                one = replace(one, verdict="inconclusive", reason=text)
        corrected.append(one)
    return corrected


def _judge(claim: Claim, tables: Tables, at: At, runs: pd.DataFrame, layers: Rows) -> Verdict:
    groups = groups_of(claim, runs)
    empty = [group.name for group in groups if group.ended.empty]
    if empty or len(groups) < 2:
        return _verdict(
            claim, tables, at, f"no run of {' and '.join(map(repr, empty)) or 'two groups'} has a result"
        )
    if claim.measure.reads == "metrics" and tables.metrics.empty:
        return _verdict(claim, tables, at, "metrics.csv has no rows of these runs")
    try:
        measure, readings = read(claim.measure, groups, tables, at, layers)
        if not matching(readings):
            return _verdict(claim, tables, at, "the groups have no cells with equal settings", measure)
        comparison = Comparison(claim, measure, groups, readings, shared_seeds(groups))
        interval = comparison.interval(LEVEL)
    except ValueError as error:  # a logarithm of what is below 0
        return _verdict(claim, tables, at, str(error))
    blockers = [*_controls(claim, runs), *comparison.blockers(interval)]
    remarks = comparison.remarks(tables)
    word = comparison.word(LEVEL)
    if blockers:
        return _verdict(claim, tables, at, "; ".join([*blockers, *remarks]), measure, interval)
    why = comparison.why(word, interval)
    verdict = _verdict(claim, tables, at, "; ".join([why, *remarks]), measure, interval)
    return replace(verdict, verdict=word, at_level=comparison.word)


def _verdict(
    claim: Claim,
    tables: Tables,
    at: At,
    reason: str,
    measure: Measure | None = None,
    interval: Interval | None = None,
) -> Verdict:
    """Return an inconclusive verdict."""
    interval = interval or Interval(NAN, NAN, NAN, 0)
    return Verdict(
        id=claim.id,
        statement=f"{claim.statement} ({_at_text(at)})" if at else claim.statement,
        verdict="inconclusive",
        estimate=interval.estimate,
        ci_low=interval.low,
        ci_high=interval.high,
        n=interval.n,
        reason=f"{reason}; within {_steps(tables, at)}",
        claim=claim,
        measure=measure or claim.measure,
        at=at,
        steps=_steps(tables, at),
    )


def _at_text(at: At) -> str:
    return label(tuple(at), at.values(), named=True)


def _steps(tables: Tables, at: At) -> str:
    """Return how long the compared runs are: `1,000 steps`."""
    return f"{int(at['train.steps']):,} steps" if "train.steps" in at else tables.steps


def _controls(claim: Claim, runs: pd.DataFrame) -> list[str]:
    """Return which groups that must train did not come to the floor."""
    problems = []
    for name, wanted in claim.controls:
        scores = select(runs, wanted)
        best = scores.loc[scores["outcome"] != "diverged", "final_test_accuracy"].max()
        if not best >= float(claim.control_at_least or 0):
            got = (
                "was not measured"
                if math.isnan(best)
                else f"{best:.3g}, less than {claim.control_at_least:g}"
            )
            problems.append(f"the control did not train ({name}: best final test accuracy {got})")
    return problems

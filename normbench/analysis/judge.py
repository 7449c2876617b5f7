"""Judges claims. A claim goes one way: pairing reads its groups, comparison compares them, judge decides.

A verdict is `supported` or `refuted` only if the whole interval lies on one side of what is expected, and
`inconclusive` otherwise, with the reason. Several verdicts of one file or family are corrected by Holm's
method: each must also hold at a stricter level, so that all hold together at 95 %. The intervals shown stay
those of 95 %. A result of `run --decide` is judged at its looks (`sequential.py`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import ValidationError

from normbench.analysis.by_when import read_at
from normbench.analysis.comparison import Comparison
from normbench.analysis.pairing import At, Records, cases, chosen_at, groups_of, matching, read, shared_seeds
from normbench.analysis.tables import Tables
from normbench.analysis.variants import at_best_rate, label, or_chance, refining
from normbench.errors import ConfigError
from normbench.measures import Measure
from normbench.measures.claim import Claim
from normbench.names import RATE
from normbench.records.looks import read_looks
from normbench.stats import corrections
from normbench.stats.decide import Word
from normbench.stats.intervals import LEVEL, NAN, Estimator, Interval
from normbench.stats.looks import smallest_alpha

Correction = Literal["holm", "none"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim, for one value of its `for_each`. NaN: unknown."""

    id: str
    statement: str
    verdict: Word
    estimate: float  # a ratio, a difference or a slope: see `Claim.comparison`
    ci_low: float
    ci_high: float
    n: int  # seeds
    reason: str
    claim: Claim
    measure: Measure  # as it was taken, with its target filled in
    at: At
    steps: str
    estimator: Estimator | None = None  # by which seeds were averaged; None if they were not
    share: float = 1.0  # of the training after which the records were read
    p: float = NAN  # the smallest alpha at which an interval decides
    p_family: float = NAN  # with Holm's correction for the verdicts of its family
    p_book: float = NAN  # of a primary verdict, corrected for those of all files that are verified together
    alone: Word = "inconclusive"  # the verdict before corrections for other verdicts
    # The verdict at another level of the interval; None if something other than its width decides.
    at_level: Callable[[float], Word] | None = field(default=None, repr=False, compare=False)
    # What its interval comes from; None if nothing could be compared.
    comparison: Comparison | None = field(default=None, repr=False, compare=False)

    @property
    def in_book(self) -> Word | None:
        """Return the verdict with the correction for a book; None if it is not primary."""
        if math.isnan(self.p_book):
            return None
        return self.alone if corrections.holds(self.p_book) else "inconclusive"

    @property
    def key(self) -> tuple[str, str]:
        """Return what names it among the verdicts of an experiment."""
        return self.id, self.group

    @property
    def group(self) -> str:
        """Return the values of `for_each` that it is about, and when: `depth 3, after 0.25 of the steps`."""
        when = f"after {self.share:.3g} of the steps" if self.claim.at_steps else ""
        return ", ".join(filter(None, [_at_text(self.at) if self.at else "", when]))


def judge(claim: Claim, tables: Tables) -> list[Verdict]:
    """Return a verdict for each value of the claim's `for_each`, without correction."""
    return _judge(claim, _Moments(tables))


def judge_all(tables: Tables, correction: Correction = "holm") -> list[Verdict]:
    """Return the verdicts on all claims of an experiment's config, corrected for their number.

    If `run --decide` recorded looks, each verdict is the one of its looks (see `sequential.py`).
    """
    claims = claims_of(tables)
    if claims and (looks := read_looks(tables.folder)):
        from normbench.analysis.sequential import by_looks  # it is above this module

        return by_looks(tables, looks, correction)
    verdicts = uncorrected(tables, claims)
    return holm(verdicts) if correction == "holm" else [with_p(one) for one in verdicts]


def uncorrected(tables: Tables, claims: Sequence[Claim]) -> list[Verdict]:
    """Return the verdicts on these claims, each by itself."""
    moments = _Moments(tables)
    return [verdict for claim in claims for verdict in _judge(claim, moments)]


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


def with_p(one: Verdict) -> Verdict:
    """Return a verdict with the smallest alpha at which it decides, not yet corrected for other verdicts."""
    if one.at_level is None:
        return one
    p = smallest_alpha(one.at_level)[0] if math.isnan(one.p) else one.p
    return replace(one, p=p, p_family=p, alone=one.verdict)


def families(verdicts: Sequence[Verdict]) -> list[list[int]]:
    """Return the places of the verdicts of each family; those without one are a family, too."""
    found: dict[str | None, list[int]] = {}
    for place, one in enumerate(verdicts):
        found.setdefault(one.claim.family, []).append(place)
    return list(found.values())


def holm(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts so that those of a family hold together at 95 % where they decide (Holm 1979).

    The m verdicts that an interval decides are tested from the clearest on: the first must hold at
    1 - alpha/m, the next at 1 - alpha/(m - 1), and so on. From the first that fails on, all are inconclusive.
    A verdict holds at a level if the interval of this level gives the same word.
    """
    found = [with_p(one) for one in verdicts]
    for places in families(found):
        tested = [place for place in places if found[place].at_level is not None]
        for place, p in zip(tested, corrections.holm([found[i].p for i in tested]), strict=True):
            found[place] = _corrected(found[place], p, len(tested))
    return found


def _corrected(one: Verdict, p: float, number: int) -> Verdict:
    """Return a verdict with the p-value that is corrected for this number of verdicts."""
    one = replace(one, p_family=p)
    if one.verdict == "inconclusive" or number < 2:
        return one
    name = correction_name(one.claim, number)
    if corrections.holds(p):
        return replace(one, reason=f"{one.reason}; {name}")
    text = f"{one.verdict} by itself, but not with {name}; {one.reason}"
    return replace(one, verdict="inconclusive", reason=text)


def correction_name(claim: Claim, number: int) -> str:
    """Return the name of the correction, for reasons."""
    family = f" of the family '{claim.family}'" if claim.family else ""
    return f"Holm's correction for {number} verdicts{family}"


class _Moments:
    """The records of one experiment, read at shares of the training; those of each share are made once."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self._found: dict[float, Records] = {}

    def at(self, share: float) -> Records:
        """Return the records at a share of the training."""
        if share not in self._found:
            self._found[share] = Records.for_claims(read_at(self.tables, share))
        return self._found[share]


def _judge(claim: Claim, moments: _Moments) -> list[Verdict]:
    """Return a verdict for each value of the claim's `for_each`, at each share of its `at_steps`."""
    found = []
    for share in claim.at_steps or [1.0]:
        if share < 1 and moments.tables.metrics.empty:
            reason = "metrics.csv has no rows, so nothing is known before the end"
            verdicts = [_verdict(claim, moments.tables, {}, reason)]
        else:
            verdicts = _judge_at(claim, moments.at(share))
        for one in verdicts:
            one = replace(one, share=share)
            if claim.at_steps:
                one = replace(one, statement=f"{claim.statement} ({one.group})")
            found.append(one)
    return found


def _judge_at(claim: Claim, records: Records) -> list[Verdict]:
    """Return a verdict for each value of the claim's `for_each`."""
    tables = records.tables
    missing = [key for key in claim.keys if key != "seed" and key not in records.swept]
    if missing:
        return [_verdict(claim, tables, {}, f"the runs have no column {', '.join(missing)}")]
    if claim.measure.over_rates and RATE not in records.swept:
        return [_verdict(claim, tables, {}, f"the runs have no column {RATE}")]
    found = [_judge_case(claim, records, at) for at in cases(claim, records.runs)]
    return found or [_verdict(claim, tables, {}, "no run belongs to its groups")]


def _judge_case(claim: Claim, records: Records, at: At) -> Verdict:
    """Return the verdict for one value of `for_each`: group, read, compare, decide."""
    tables, groups = records.tables, groups_of(claim, records.runs, at)
    empty = [group.name for group in groups if group.ended.empty]
    if empty or len(groups) < (1 if claim.constant is not None else 2):
        names = " and ".join(map(repr, empty)) or "two groups"
        return _verdict(claim, tables, at, f"no run of {names} has a result")
    if claim.measure.reads == "metrics" and tables.metrics.empty:
        return _verdict(claim, tables, at, "metrics.csv has no rows of these runs")
    try:
        measure, readings = read(claim.measure, groups, records, at)
        if not matching(readings):
            return _verdict(claim, tables, at, "the groups have no cells with equal settings", measure)
        comparison = Comparison(claim, measure, readings, shared_seeds(groups))
    except ValueError as error:  # a logarithm of a number below 0
        return _verdict(claim, tables, at, str(error))
    blockers = [*_controls(claim, records, at), *comparison.blockers()]
    word = "inconclusive" if blockers else comparison.word(LEVEL)
    reasons = [*(blockers or [comparison.why(word)]), *comparison.remarks(tables)]
    verdict = _verdict(claim, tables, at, "; ".join(reasons), measure, comparison.shown)
    at_level = None if blockers else comparison.word
    return replace(
        verdict, verdict=word, estimator=comparison.estimator, at_level=at_level, comparison=comparison
    )


def _verdict(
    claim: Claim,
    tables: Tables,
    at: At,
    reason: str,
    measure: Measure | None = None,
    interval: Interval | None = None,
) -> Verdict:
    """Return an inconclusive verdict.

    Args:
        claim: what is claimed.
        tables: the records, which say how long the runs are.
        at: the values of `for_each`.
        reason: why the verdict is what it is.
        measure: as it was taken; by default as the claim has it.
        interval: by default unknown.
    """
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
    whole = f"{int(at['train.steps']):,} steps" if "train.steps" in at else tables.steps
    return f"{tables.earlier}, {whole}" if tables.earlier else whole


def _controls(claim: Claim, records: Records, at: At) -> list[str]:
    """Return which control groups did not reach the accuracy that shows that they train.

    The accuracy of a group is the mean over seeds (and cells), each cell at its best rate.
    """
    problems = []
    keys = [key for key in records.swept if key != RATE]
    for name, wanted in claim.controls:
        ended = chosen_at(claim, wanted, records.runs, at)
        ended = ended[ended["outcome"].notna() & ~refining(ended)]
        best = at_best_rate(ended, keys) if len(ended) else ended
        found = or_chance(best, "final_test_accuracy").mean()
        if not found >= float(claim.control_at_least or 0):
            got = (
                "was not measured"
                if math.isnan(found)
                else f"{found:.3g}, less than {claim.control_at_least:g}"
            )
            problems.append(
                f"the control did not train ({name}: mean final test accuracy at its own best rate {got})"
            )
    return problems

"""Judges a result of `run --decide`: each verdict at the looks that were recorded, over all of them.

A look at the first n seeds gives p, the smallest alpha at which an interval of the level 1 - alpha decides.
The smallest p / weight over the looks of a verdict is its p-value over all looks (`stats/looks.py`). Those of
all verdicts of a family, looked at or not, are corrected by Holm's method. More looks only make these numbers
smaller, so what holds once holds for good. The numbers are computed from the records alone; looks.csv says
only which looks were taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from normbench.analysis.judge import Correction, Verdict, claims_of, correction_name, families, uncorrected
from normbench.analysis.tables import Tables, load_tables, of_seeds
from normbench.errors import RecordsError
from normbench.measures.claim import Claim, estimator_of
from normbench.records.looks import RecordedLook
from normbench.stats import corrections
from normbench.stats.corrections import ALPHA
from normbench.stats.decide import fewest_seeds
from normbench.stats.looks import Look, over_looks, smallest_alpha, weights_of

LIKELY = 0.8  # a chance from which on a look is said to decide
_TOLERANCE = 1e-3  # of p, relative, between what is recorded and what the records give


@dataclass(frozen=True)
class Standing:
    """Where one verdict stands.

    Attributes:
        last: the verdict at its last look, not corrected; without a look, at the seeds of the first ones.
        looks: at this verdict, in their order.
        weights: of its looks, by their number of seeds.
        p: over its looks.
        clearest: the look with this p; None if no look says anything.
        at_clearest: the verdict at this look.
        p_family: with Holm's correction for the verdicts of its family.
        of: number of these verdicts.
        level: alpha that its next look needs, before it is multiplied by its weight, to be the next to hold.
    """

    last: Verdict
    looks: tuple[Look, ...]
    weights: Mapping[int, float]
    p: float = 1.0
    clearest: Look | None = None
    at_clearest: Verdict | None = None
    p_family: float = 1.0
    of: int = 1
    level: float = ALPHA

    @property
    def key(self) -> tuple[str, str]:
        """Return what names the verdict among those of the experiment."""
        return self.last.key

    @property
    def holds(self) -> bool:
        """Return whether it is decided, for good."""
        return corrections.holds(self.p_family)

    @property
    def decidable(self) -> bool:
        """Return whether more seeds can change it: its groups can be compared."""
        return self.last.comparison is not None

    @property
    def left(self) -> list[int]:
        """Return the numbers of seeds of the looks that are still to come."""
        last = max((look.n for look in self.looks), default=0)
        return [n for n in self.weights if n > last]

    @property
    def name(self) -> str:
        """Return the id of its claim, and which of its verdicts it is."""
        return named(*self.key)

    @property
    def outlook(self) -> str:
        """Return what would decide it."""
        comparison = self.last.comparison
        few = comparison is not None and len(comparison.seeds) < fewest_seeds(comparison.estimator)
        if comparison is None or (self.last.at_level is None and not few):
            return "more seeds alone do not decide it"
        if not self.left:
            return "all its looks are taken; a larger effect or a finer measure decides, in a new experiment"
        chances = {}
        for n in self.left:
            chances[n] = comparison.chance(n, self.level * self.weights[n])
            if chances[n] >= LIKELY:
                return f"if further seeds are like these, n = {n} decides it (chance {chances[n]:.2g})"
        best = max(chances, key=lambda n: chances[n])
        if not chances[best]:
            return f"if further seeds are like these, n = {self.left[-1]} does not decide it"
        return f"if further seeds are like these, n = {best} decides it with a chance of {chances[best]:.2g}"


def by_looks(tables: Tables, looks: Sequence[RecordedLook], correction: Correction) -> list[Verdict]:
    """Return the verdicts on all claims at the recorded looks; `none` corrects for the looks alone.

    Args:
        tables: the records, with all seeds.
        looks: that were taken, at least one.
        correction: for the number of verdicts.
    """
    return [told(one, correction) for one in standings(tables, looks)]


Known = dict[tuple[tuple[int, ...], str], list[Verdict]]  # by seeds and id of the claim


def standings(
    tables: Tables, looks: Sequence[RecordedLook], first: Sequence[int] = (), known: Known | None = None
) -> list[Standing]:
    """Return where each verdict stands, in the order of the config.

    Args:
        tables: the records, with all seeds.
        looks: that were taken.
        first: seeds at which verdicts without a look are shown; by default those of the smallest look.
        known: verdicts that were judged on these records before; new ones are added.
    """
    claims, known = claims_of(tables), {} if known is None else known
    start = tuple(first) or min((look.seeds for look in looks), key=len)
    at = {start: judged(tables, start, claims, known)}
    for seeds in {look.seeds for look in looks} - {start}:
        ids = {look.id for look in looks if look.seeds == seeds}
        at[seeds] = judged(tables, seeds, [claim for claim in claims if claim.id in ids], known)
    found = [
        _standing(last, [(at[look.seeds].get(key), len(look.seeds)) for look in looks if look.key == key])
        for key, last in at[start].items()
    ]
    for places in families([one.last for one in found]):
        adjusted = corrections.holm([found[place].p for place in places])
        level = ALPHA / max(1, sum(not corrections.holds(p) for p in adjusted))
        for place, p in zip(places, adjusted, strict=True):
            found[place] = replace(found[place], p_family=p, of=len(places), level=level)
    return found


def _standing(first: Verdict, looked: Sequence[tuple[Verdict | None, int]]) -> Standing:
    """Return where a verdict stands by itself, given what its looks gave, with their numbers of seeds."""
    there = [(one, n) for one, n in looked if one is not None]
    looks = [look_at(one, n) for one, n in there]
    weights = weights_of(estimator_of(first.claim))
    p, clearest = over_looks(looks, weights)
    at_clearest = None if clearest is None else there[looks.index(clearest)][0]
    return Standing(there[-1][0] if there else first, tuple(looks), weights, p, clearest, at_clearest)


def look_at(one: Verdict, n: int) -> Look:
    """Return what a verdict on n seeds says as a look. A seed without a result leaves the look empty."""
    if one.at_level is None or one.n < n:
        return Look(n, 1.0, "inconclusive")
    return Look(n, *smallest_alpha(one.at_level))


def changed(found: Sequence[Standing], looks: Sequence[RecordedLook]) -> list[str]:
    """Return what differs between the recorded looks and what the records give now, in one sentence."""
    now = {(one.key, look.n): look for one in found for look in one.looks}
    other = []
    for look in looks:
        there = now.get((look.key, len(look.seeds)))
        if there is None or there.word != look.word or abs(there.p - look.p) > _TOLERANCE * look.p:
            gives = f"p = {there.p:.3g}" if there else "no such verdict"
            other.append(f"{named(*look.key)} at n = {len(look.seeds)}: {gives}, recorded {look.p:.3g}")
    if not other:
        return []
    more = f" and {len(other) - 1} more" if len(other) > 1 else ""
    return [
        f"the records or claims have changed since the looks were taken: {other[0]}{more}; judged by the "
        "records as they are now"
    ]


def judged(
    tables: Tables, seeds: tuple[int, ...], claims: Sequence[Claim], known: Known
) -> dict[tuple[str, str], Verdict]:
    """Return the verdicts on these seeds, not corrected, by id and group.

    Args:
        tables: the records, with all seeds.
        seeds: to judge on.
        claims: to judge.
        known: verdicts that were judged before; new ones are added.
    """
    new = [claim for claim in claims if (seeds, claim.id) not in known]
    verdicts = uncorrected(of_seeds(tables, seeds), new) if new else []
    for claim in new:
        known[seeds, claim.id] = [one for one in verdicts if one.id == claim.id]
    found: dict[tuple[str, str], Verdict] = {}
    for one in (verdict for claim in claims for verdict in known[seeds, claim.id]):
        if one.key in found:
            raise RecordsError(
                f"{tables.folder / 'config.yaml'}: claim {one.id} has two verdicts called '{one.group}', "
                "whose looks cannot be told apart; write a claim for each of these values"
            )
        found[one.key] = one
    return found


def told(one: Standing, correction: Correction) -> Verdict:
    """Return the verdict with its p-values and a reason that names the looks.

    The estimate and its 95 % interval are those of the look that decides, otherwise those of the last look.
    The p-value is that over all looks.
    """
    p = one.p_family if correction == "holm" else one.p
    corrected = correction == "holm" and one.of > 1
    name = f"; {correction_name(one.last.claim, one.of)}: {one.p_family:.2g}" if corrected else ""
    if one.clearest is not None and one.at_clearest is not None and corrections.holds(one.p):
        look, verdict = one.clearest, replace(one.at_clearest, p=one.p, p_family=p, alone=one.clearest.word)
        text = f"at n = {look.n}, look {one.looks.index(look) + 1} of {len(one.weights)}"
        text += f": p = {look.p:.2g}, over all looks {one.p:.2g}{name}"
        if corrections.holds(p):
            return replace(verdict, verdict=look.word, reason=f"{verdict.reason}; decided {text}")
        text = f"{look.word} by itself {text}; {one.outlook}"
        return replace(verdict, verdict="inconclusive", reason=f"{text}; {verdict.reason}")
    if one.looks:
        text = f"open after look {len(one.looks)} of {len(one.weights)} (n = {one.looks[-1].n}): "
        text += f"p over all looks {one.p:.2g}{name}; {one.outlook}"
    else:
        text = f"no look was taken at it yet; the first one needs {min(one.weights)} seeds in its cells"
    reason = f"{text}; {one.last.reason}"
    return replace(one.last, p=one.p, p_family=p, verdict="inconclusive", reason=reason)


def named(id_: str, group: str) -> str:
    """Return the name of a verdict: the id of its claim, and which of its verdicts it is."""
    return f"{id_} ({group})" if group else id_


def spreads_in(folder: Path) -> dict[str, float]:
    """Return the spread over seeds of each claim of a results folder, the largest of its verdicts, by id."""
    tables = load_tables(folder)
    found: dict[str, float] = {}
    for one in uncorrected(tables, claims_of(tables)):
        if one.comparison is not None and (spread := one.comparison.spread()) > found.get(one.id, 0.0):
            found[one.id] = spread
    return found

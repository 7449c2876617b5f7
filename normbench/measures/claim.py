"""Claims as the config states them: what is measured, on which runs, and what is expected.

Reading a claim imports neither torch nor the other sections of the config, so that `verify` starts fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from normbench.measures import MEASURES, Measure
from normbench.registry import Options
from normbench.stats.intervals import Estimator

Filter = dict[str, Any]  # dotted key -> value, or list of allowed values

TRENDS = ("increases", "decreases", "slope_at_least", "slope_at_most")


class Expect(Options):
    """What a claim expects: one of the comparisons, or with `over` one of the trends."""

    ratio_at_least: float | None = Field(None, gt=0, description="of / against")
    ratio_at_most: float | None = Field(None, gt=0, description="of / against")
    difference_at_least: float | None = Field(None, description="of - against")
    difference_at_most: float | None = Field(None, description="of - against")
    equal_within: float | None = Field(
        None, ge=0, description="difference: from -x to x; ratio: from 1/(1 + x) to 1 + x"
    )
    scale: Literal["ratio", "difference"] | None = Field(
        None, description="of equal_within; by default ratio for rates, steps and losses"
    )
    increases: Literal[True] | None = Field(None, description="with `over`: from value to value")
    decreases: Literal[True] | None = Field(None, description="with `over`: from value to value")
    slope_at_least: float | None = Field(
        None,
        description="with `over`: of the measure (in decades where its scale is log) per unit of the axis "
        "(per decade where its values span decades)",
    )
    slope_at_most: float | None = Field(None, description="as slope_at_least")

    @property
    def kind(self) -> str:
        """Return the name of the one expectation."""
        return next(key for key, value in self if value is not None and key != "scale")

    @property
    def value(self) -> float:
        """Return the expected number; 0 for `increases` and `decreases`."""
        value = getattr(self, self.kind)
        return 0.0 if value is True else float(value)

    @model_validator(mode="after")
    def _one(self) -> Expect:
        given = [key for key, value in self if value is not None and key != "scale"]
        if len(given) != 1:
            allowed = ", ".join(key for key in type(self).model_fields if key != "scale")
            raise ValueError(
                f"found {' and '.join(given) or 'no expectation'}; allowed: exactly one of {allowed}"
            )
        if self.scale and given != ["equal_within"]:
            raise ValueError(f"'scale' goes with equal_within; found {given[0]}; leave 'scale' out")
        return self


class Contrast(Options):
    """Two sets of runs between which a comparison may differ: it is made in both, and then compared."""

    of: Filter = Field(min_length=1, description="runs in which the groups are compared")
    against: Filter = Field(min_length=1, description="runs in which they are compared, too")


class Claim(Options):
    """A statement that `normbench verify` checks against the runs."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", description="unique in the file, such as C2-mnist"
    )
    statement: str = Field(min_length=1, description="what is claimed, one sentence")
    source: str | None = Field(None, description="who claims it and where")
    reports: str | None = Field(None, description="what the source reports, such as 'Fig. 1: 5 times faster'")
    measure: Annotated[Measure, MEASURES.choice] = Field(description="what is measured")
    of: Filter = Field({}, description="the runs that the claim is about: {dotted key: value or list}")
    against: Filter | None = Field(
        None, description="the runs to compare with, or a number that `of` is compared with: {value: 1}"
    )
    contrast: Contrast | None = Field(
        None,
        description="for an interaction: the comparison of `of` with `against` among the runs of its `of`, "
        "minus (ratio: divided by) that among the runs of its `against`",
    )
    over: str | None = Field(None, description="for a trend, in place of `against`: the swept key")
    estimator: Estimator | None = Field(
        None,
        description="how seeds are averaged, if not as the measure does: t (mean), median (robust; at least "
        "6 seeds), signed_rank (robust, if differences are symmetric; at least 6 seeds)",
    )
    for_each: list[str] = Field([], description="one verdict for each value of these keys")
    at_steps: list[Annotated[float, Field(gt=0, le=1)]] = Field(
        [],
        description="shares of the training after which the records are read, a verdict for each; "
        "[0.25, 0.5, 1] shows whether the verdict changes; by default at the end alone",
    )
    expect: Expect = Field(description="what is expected of the ratio, difference or trend")
    family: str | None = Field(
        None,
        min_length=1,
        description="a name; the verdicts of equal names are corrected for their number together (Holm), by "
        "default all of the file",
    )
    primary: bool = Field(
        False,
        description="this verdict stands for the file: `normbench verify A B C` corrects the primary ones of "
        "all files for their number together (Benjamini and Hochberg)",
    )
    control: list[str | Filter] | None = Field(
        None, description="groups that must train: of, against, or filters; by default `of`"
    )
    control_at_least: float | None = Field(
        None,
        ge=0,
        le=1,
        description="mean final test accuracy that a control group must reach at its own best rate",
    )

    @field_validator("measure", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _against_or_over(self) -> Claim:
        if (self.against is None) == (self.over is None):
            found = "neither" if self.over is None else "both"
            raise ValueError(f"found {found} of 'against' and 'over'; allowed: one of them")
        kind = self.expect.kind
        if (kind in TRENDS) != (self.over is not None):
            wanted = "over: <swept key>" if kind in TRENDS else "against: {key: value}"
            raise ValueError(f"expect: {kind} needs '{wanted}'")
        measure: Measure = self.measure
        if self.comparison != "slope" and self.comparison not in measure.compares:
            allowed = " or a ".join(measure.compares)
            raise ValueError(
                f"expect: {kind} asks for a {self.comparison} of {measure.key()}, which has none; "
                f"allowed: a {allowed}"
            )
        for name in self.control or ():
            if isinstance(name, str) and name not in ("of", "against"):
                raise ValueError(f"control: '{name}' is not a group; allowed: of, against, or {{key: value}}")
            if name == "against" and (self.against is None or self.constant is not None):
                raise ValueError(
                    "control: 'against' is not a group of this claim; allowed: of, or {key: value}"
                )
        return self

    @model_validator(mode="after")
    def _constant_or_contrast(self) -> Claim:
        if self.against is not None and "value" in self.against:
            value = self.against["value"]
            if len(self.against) > 1 or isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(
                    f"against: found {self.against}; allowed: {{value: <number>}} or {{key: value}}"
                )
            if self.comparison == "ratio" and not value > 0:
                raise ValueError(f"against: found value {value:g}; a ratio needs a number above 0")
        if self.contrast is not None and (self.against is None or self.constant is not None):
            raise ValueError("contrast: needs 'against: {key: value}', the other side of the comparison")
        if self.contrast is not None and self.contrast.of == self.contrast.against:
            raise ValueError("contrast: 'of' and 'against' are the same runs; name what differs")
        for name, one in self.contrast or ():
            if twice := sorted(set(one) & {*self.of, *(self.against or {})}):
                raise ValueError(
                    f"contrast: {name} names {listed(twice)}, which 'of' or 'against' name already; name "
                    "each key once"
                )
        if len(set(self.at_steps)) < len(self.at_steps):
            raise ValueError(f"at_steps: found {listed(self.at_steps)}; allowed: each share once")
        return self

    @model_validator(mode="after")
    def _one_primary_verdict(self) -> Claim:
        several = [f"for_each: {listed(self.for_each)}"] if self.for_each else []
        several += [f"at_steps: {listed(self.at_steps)}"] if len(self.at_steps) > 1 else []
        if self.primary and several:
            raise ValueError(
                f"primary: one verdict stands for the file, and {several[0]} gives several; write a claim of "
                "its own for that verdict"
            )
        return self

    @property
    def constant(self) -> float | None:
        """Return the number that `of` is compared with, if it is one."""
        return float(self.against["value"]) if self.against and "value" in self.against else None

    @property
    def comparison(self) -> Literal["ratio", "difference", "slope"]:
        """Return how the groups are compared."""
        kind = self.expect.kind
        if kind in TRENDS:
            return "slope"
        if kind == "equal_within":
            measure: Measure = self.measure
            own: Literal["ratio", "difference"] = "ratio" if measure.scale == "log" else "difference"
            return self.expect.scale or own
        return "ratio" if kind.startswith("ratio") else "difference"

    @property
    def region(self) -> tuple[float, float]:
        """Return the ends of the expected range. For `increases` and `decreases` it excludes 0 itself."""
        kind, value = self.expect.kind, self.expect.value
        floor = 0.0 if self.comparison == "ratio" else -math.inf
        if kind == "equal_within":
            return (1 / (1 + value), 1 + value) if self.comparison == "ratio" else (-value, value)
        return (floor, value) if kind.endswith("at_most") or kind == "decreases" else (value, math.inf)

    @property
    def expected(self) -> str:
        """Return what is expected, in words."""
        kind, value = self.expect.kind, self.expect.value
        if kind in ("increases", "decreases"):
            return f"{kind} over {self.over}"
        if kind == "equal_within":
            low, high = self.region
            return f"{self.comparison} from {low:.4g} to {high:.4g}"
        return f"{kind.replace('_', ' ')} {value:g}"

    @property
    def groups(self) -> dict[str, Filter]:
        """Return the groups by name, in the order of their comparison."""
        sides = self._sides
        if self.contrast is None:
            return sides
        inside = {"": self.contrast.of, " in the contrast": self.contrast.against}
        return {
            f"{side}{where}": {**wanted, **more}
            for where, more in inside.items()
            for side, wanted in sides.items()
        }

    def varies(self, wanted: Filter) -> list[str]:
        """Return the keys of `for_each` by whose values a group, or control, changes from verdict to verdict.

        A group that names one value of such a key keeps it, if another group has several values:
        `against: {model.norm: batchnorm}` stays beside each normalization that `of` names.
        """
        groups = self.groups.values()
        return [
            key for key in self.for_each if not _keeps(wanted, key) or all(_keeps(one, key) for one in groups)
        ]

    @property
    def _sides(self) -> dict[str, Filter]:
        """Return the filters of `of` and `against`, if these are runs."""
        compared = self.against is not None and self.constant is None
        return {"of": self.of, **({"against": self.against or {}} if compared else {})}

    @property
    def controls(self) -> list[tuple[str, Filter]]:
        """Return the groups that must train, each with its name; none without `control_at_least`."""
        if self.control_at_least is None:
            return []
        named = ["of"] if self.control is None else self.control
        return [(one, self._sides[one]) if isinstance(one, str) else (str(one), one) for one in named]

    @property
    def keys(self) -> list[str]:
        """Return all keys that the claim names."""
        filters = [*self.groups.values(), *(one for one in self.control or [] if isinstance(one, dict))]
        named = [key for one in filters for key in one]
        return list(dict.fromkeys([*named, *([self.over] if self.over else []), *self.for_each]))


def _keeps(wanted: Filter, key: str) -> bool:
    return key in wanted and not isinstance(wanted[key], list)


def values_of(wanted: Any) -> list[Any]:
    """Return the values of one key of a filter."""
    return list(wanted) if isinstance(wanted, list) else [wanted]


def same(have: Any, want: Any) -> bool:
    """Return whether a swept value is the wanted one: numbers to a relative 1e-9, words as written."""
    if have is None or want is None:
        return have is want
    if isinstance(have, bool) or isinstance(want, bool):
        return str(have).lower() == str(want).lower()
    if isinstance(have, str) or isinstance(want, str):
        return str(have) == str(want)
    return math.isclose(float(have), float(want), rel_tol=1e-9)


def fits(have: Any, wanted: Any) -> bool:
    """Return whether a swept value is one of those that a filter allows."""
    return any(same(have, want) for want in values_of(wanted))


def listed(values: Iterable[Any]) -> str:
    """Return values as a list for messages."""
    return ", ".join(dict.fromkeys("null" if value is None else str(value) for value in values))


def estimator_of(claim: Claim) -> Estimator:
    """Return the estimator that is asked for; where numbers are infinite, the median takes its place."""
    measure: Measure = claim.measure
    return claim.estimator or measure.estimator

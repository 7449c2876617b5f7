"""The claims: estimate and interval of each against what is expected, one row for each verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import label, levels
from normbench.errors import NormbenchError
from normbench.measures.claim import Filter
from normbench.plots.captions import crashed_text, footer, line
from normbench.plots.chart import Axis, Chart, Grid, Place, marks_of
from normbench.plots.kind import FigureKind, Handles
from normbench.plots.style import BLUE, GREY, INK, RED
from normbench.plots.view import Request
from normbench.plots.where import Narrowed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.analysis.judge import Verdict
    from normbench.plots.style import Look

EXPECTED = "#DCEBDC"
LOOKS: dict[str, dict[str, Any]] = {
    "supported": {"color": BLUE, "marker": "o", "mfc": BLUE},
    "refuted": {"color": RED, "marker": "X", "mfc": RED, "ms": 7},
    "inconclusive": {"color": GREY, "marker": "D", "mfc": "white"},
}
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}  # behind words
NAME_INCHES = 2.1  # of a row's name, before it goes to another line
WIDEST = 10.0  # an end of an interval further beyond all estimates (a factor, or times their spread) is open


class Claims(FigureKind):
    """Estimate and interval of each claim, against what is expected."""

    name: Literal["claims"] = "claims"

    swept_x: ClassVar[bool] = False

    def applies(self, tables: Tables) -> bool:
        """Return whether the config has claims, for narrowed tables: about the values that are wanted."""
        if not isinstance(tables, Narrowed):
            return bool(tables.config.get("claims"))
        from normbench.analysis.judge import claims_of

        return any(set(tables.only) <= set(claim.for_each) for claim in claims_of(tables))

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return a row for each verdict; the rows of a claim have the same axis.

        Columns: `mark` (the verdict), `id`, `name`, mean (the estimate), low, high, `expected_low`,
        `expected_high`, `reason` (where the picture alone does not tell why it is inconclusive).
        """
        from normbench.analysis.judge import judge_all

        verdicts = _wanted(judge_all(_whole(tables)), tables)
        claims = [list(rows) for _, rows in groupby(range(len(verdicts)), key=lambda r: verdicts[r].id)]
        places, heads = [], {}
        for rows in claims:
            first = verdicts[rows[0]]
            heads[rows[0], 0] = f"{first.id}: {first.claim.statement}"
            low, high, log = _limits([verdicts[r] for r in rows])
            for r in rows:
                named = _axis_name(first) if r == rows[-1] else ""
                x = Axis(named, limits=(low, high), log=log)
                y = Axis(
                    "", "rows", (-1.0, 1.0), names=(verdicts[r].group or verdicts[r].id,), inches=NAME_INCHES
                )
                places.append(Place(r, 0, r, 0, x, y))
        strips = {r: f"{one.verdict}, n = {one.n}" for r, one in enumerate(verdicts)}
        gaps = {rows[0]: 0.42 for rows in claims[1:]}
        holm = ", with Holm's correction" if len(verdicts) > 1 else ""
        what = f"estimate and 95 % interval against what is expected{holm}"
        return [
            Chart(
                stem="claims",
                title=tables.title,
                frame=_frame(verdicts),
                grid=Grid(tuple(places), heads, strips, tuple(range(len(verdicts))), gaps),
                color=levels(tables.runs, ()),
                caption=line(what, _seeds(verdicts), tables.steps),
                warnings=tuple(filter(None, [_said(tables), crashed_text(_whole(tables))])),
                footer=footer(tables, outcomes=True),
            )
        ]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: low rows, as high as their names need."""
        from normbench.plots.axes import in_lines

        lines = (in_lines(place.y, chart.points(8.5))[0].count("\n") + 1 for place in chart.grid.places)
        return {"height": 0.08 + 0.15 * max(2, *lines), "widest": 5.4, "hgap": 1.2}

    def narrow(self, chart: Chart) -> Chart:
        """Return the chart with the reasons at the foot, each with a number that its verdicts have, too."""
        reasons = chart.frame["reason"].tolist()
        numbers = {reason: i for i, reason in enumerate(dict.fromkeys(filter(None, reasons)), start=1)}
        strips = {r: f"{text} [{numbers[reasons[r]]}]" if reasons[r] else text
                  for r, text in chart.grid.strips.items()}  # fmt: skip
        notes = [f"[{i}]: {reason}" for reason, i in numbers.items()]
        return replace(
            chart,
            frame=chart.frame.assign(reason=""),
            grid=replace(chart.grid, strips=strips),
            footer="; ".join(filter(None, [*notes, chart.footer])),
        )

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw one verdict."""
        (row,) = marks_of(part)
        low, high = look.x.inner
        ax.tick_params(left=False)
        ax.axvline(1.0 if look.x.log else 0.0, color=GREY, lw=0.7, zorder=1)
        expected = row.expected_low, row.expected_high
        ax.axvspan(*np.clip(expected, low, high), color=EXPECTED, lw=0, zorder=0.6)
        for x in expected:
            if low < x < high:
                ax.axvline(x, color="#5B8A5B", lw=0.9, zorder=1.1)
        style = LOOKS[row.mark]
        if row.reason:
            _reason(ax, row, look)
        ends = [row.low, row.high]
        if not np.isnan(ends).any():
            ax.plot(np.clip(ends, low, high), [0, 0], color=style["color"], lw=1.6, zorder=3)
            for x, sign, at in ((ends[0], "<", low), (ends[1], ">", high)):
                if not low <= x <= high:
                    ax.plot(at, 0, sign, color=style["color"], ms=6, clip_on=False, zorder=4)
        if low <= row.mean <= high:
            ax.plot(row.mean, 0, ls="none", zorder=5, **{"ms": 6, "mew": 1.2, **style})

    def signs(self, chart: Chart) -> Handles:
        """Return what the marks mean."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        frame = chart.frame
        handles: Handles = [(Patch(color=EXPECTED), "expected")]
        for word, look in LOOKS.items():
            if (frame["mark"] == word).any():
                handles.append((Line2D([], [], ls="-", lw=1.6, **{"ms": 6, "mew": 1.2, **look}), word))
        limits = np.array([place.x.inner for place in chart.grid.places])
        if ((frame["low"] < limits[:, 0]) | (frame["high"] > limits[:, 1])).any():
            handles.append((Line2D([], [], ls="none", marker=">", color=INK), "goes on beyond the axis"))
        return handles


def _reason(ax: Axes, row: Any, look: Look) -> None:
    """Write why a verdict is inconclusive: in the middle, or above its marks."""
    from normbench.plots.labels import wrap

    size = look.points(look.font - 1)
    text = "\n".join(wrap(row.reason, min(5.2, look.width - 0.1), size))
    y, va = (0.5, "center") if math.isnan(row.mean) and math.isnan(row.low) else (0.96, "top")
    ax.text(0.02, y, text, transform=ax.transAxes, va=va, size=size, color=INK, bbox=PAPER, zorder=2)


def _frame(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    import pandas as pd

    rows = []
    for r, one in enumerate(verdicts):
        low, high = one.claim.region
        why = one.verdict == "inconclusive" and not _obvious(one)
        rows.append(
            {
                **{"panel": r, "block": 0, "color": 0, "mark": one.verdict, "id": one.id, "name": one.group},
                **{"mean": one.estimate, "low": one.ci_low, "high": one.ci_high, "n": one.n},
                **{"expected_low": low, "expected_high": high},
                "reason": one.reason.split(";")[0] if why else "",
            }
        )
    return pd.DataFrame(rows)


def _seeds(verdicts: Sequence[Verdict]) -> str:
    """Return `n = 6 seeds`, or the range where verdicts differ: a rate that refines an edge has fewer."""
    low, high = min(one.n for one in verdicts), max(one.n for one in verdicts)
    return f"n = {high} seed{'' if high == 1 else 's'}" if low == high else f"n = {low} to {high} seeds"


def _obvious(one: Verdict) -> bool:
    """Return whether the picture alone tells why it is inconclusive: the interval reaches over the bound."""
    low, high = one.claim.region
    inside = low <= one.ci_low and one.ci_high <= high
    outside = one.ci_high < low or one.ci_low > high
    return one.at_level is not None and not inside and not outside


def _axis_name(one: Verdict) -> str:
    """Return what the axis shows: `ratio, largest rate that trains: batchnorm / norm none`."""
    what = one.measure.label
    if one.claim.comparison == "slope":
        decades = ", in decades," if one.measure.scale == "log" else ""
        return f"slope of {what}{decades} over {one.claim.over}"
    sign = "/" if one.claim.comparison == "ratio" else "-"
    if one.claim.constant is not None:
        return f"{what}, against {one.claim.constant:g}"
    sides = _sides(one.claim.of, one.claim.against or {}, sign)
    if (contrast := one.claim.contrast) is None:
        return f"{one.claim.comparison}, {what}: {sides}"
    return f"{one.claim.comparison}, {what} ({sides}): {_sides(contrast.of, contrast.against, sign)}"


def _sides(of: Filter, against: Filter, sign: str) -> str:
    """Return both sides of a comparison, each by the values that tell it from the other."""
    return f"{_side(of, against) or 'of'} {sign} {_side(against, of) or 'against'}"


def _side(own: Filter, other: Filter) -> str:
    """Return the values that only one side has; `each` for several of a key, which have a row each."""
    differing = {key: value for key, value in own.items() if other.get(key) != value}
    if any(isinstance(value, list) for value in differing.values()):
        return "each"
    return label(tuple(differing), differing.values(), named=True) if differing else ""


def _whole(tables: Tables) -> Tables:
    """Return the tables of all runs: a verdict of some of them would be another one than `verify` prints."""
    return tables.whole if isinstance(tables, Narrowed) and tables.whole is not None else tables


def _wanted(verdicts: list[Verdict], tables: Tables) -> list[Verdict]:
    """Return the verdicts that are about the values that the user wants of each key."""
    if not isinstance(tables, Narrowed):
        return verdicts
    keys = tables.only.items()
    found = [one for one in verdicts if all(dict(one.at).get(key) in values for key, values in keys)]
    if not found:
        raise NormbenchError(
            f"where: no claim of {tables.folder} is about these values of {', '.join(tables.only)} alone; "
            "leave --where out for the figure 'claims'"
        )
    return found


def _said(tables: Tables) -> str:
    """Return which verdicts narrowed tables show."""
    if not isinstance(tables, Narrowed):
        return ""
    return f"{tables.notes[-1].replace('runs with', 'verdicts about')}; judged with all runs and verdicts"


def _limits(verdicts: Sequence[Verdict]) -> tuple[float, float, bool]:
    """Return the ends of a claim's axis and whether it is logarithmic; far ends of intervals stay outside."""
    log = verdicts[0].claim.comparison == "ratio"
    scale = math.log if log else float
    middle = [1.0 if log else 0.0]
    middle += [one.estimate for one in verdicts] + [x for one in verdicts for x in one.claim.region]
    near = [scale(x) for x in middle if math.isfinite(x) and (x > 0 or not log)]
    low, high = min(near), max(near)
    room = math.log(WIDEST) if log else max(high - low, 1e-6)
    ends = [
        x for one in verdicts for x in (one.ci_low, one.ci_high) if math.isfinite(x) and (x > 0 or not log)
    ]
    low = max([low - room, min([low, *map(scale, ends)])])
    high = min([high + room, max([high, *map(scale, ends)])])
    pad = 0.08 * max(high - low, 0.3 if log else 1e-6)
    low, high = low - pad, high + pad
    return (math.exp(low), math.exp(high), True) if log else (low, high, False)

"""The claims: estimate and interval of each against what is expected, one row for each verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import MaxNLocator

from normbench.analysis.judge import Verdict, judge_all
from normbench.analysis.tables import Tables
from normbench.analysis.variants import label
from normbench.plots.base import FigureKind, Request, seeds_text, shared_text, trains_text
from normbench.plots.labels import parts, wrap
from normbench.plots.sheet import Sheet
from normbench.plots.style import BLUE, GREY, INK, RED, plain_log

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXPECTED = "#DCEBDC"
LOOKS: dict[str, dict[str, Any]] = {
    "supported": {"color": BLUE, "marker": "o", "mfc": BLUE},
    "refuted": {"color": RED, "marker": "X", "mfc": RED, "ms": 7},
    "inconclusive": {"color": GREY, "marker": "D", "mfc": "white"},
}
PAPER = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}  # behind words
NAME_INCHES = 2.1  # of a row's name, before it goes to another line
WIDEST = 10.0  # an end of an interval further beyond all estimates (a factor, or times their spread) is open


def applies(tables: Tables) -> bool:
    """The config has claims."""
    return bool(tables.config.get("claims"))


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw a row for each verdict, below its claim's statement; the rows of a claim share their axis."""
    verdicts = judge_all(tables)
    claims = [list(rows) for _, rows in groupby(range(len(verdicts)), key=lambda r: verdicts[r].id)]
    names = [_name(one) for one in verdicts]
    height = 0.08 + 0.15 * max(2, *(name.count("\n") + 1 for name in names))
    rows_apart: dict[int, object] = {
        r: r for r in range(len(verdicts))
    }  # each has its own name, hence its own vertical axis
    sheet = Sheet(len(verdicts), 1, widest=5.4, height=height, share_x=False, y_groups=rows_apart, hgap=1.2)
    sheet.strips = {r: f"{one.verdict}, n = {one.n}" for r, one in enumerate(verdicts)}
    beyond = False
    for rows in claims:
        first = verdicts[rows[0]]
        sheet.heads[rows[0], 0] = f"{first.id}: {first.claim.statement}"
        limits = _limits([verdicts[r] for r in rows])
        for r in rows:
            beyond |= _row(sheet.at(r, 0), verdicts[r], names[r], limits, sheet.font)
        sheet.at(rows[-1], 0).set_xlabel(_axis_name(first), fontsize=sheet.font - 0.5, labelpad=2)
        sheet.row_gaps[rows[0]] = 0.42 if rows[0] else 0.0
    sheet.bottom = 0.62
    shared = (shared_text(tables), tables.steps, seeds_text(tables.runs, tables.varied))
    lines = [
        "Estimate and 95 % interval over seeds, against what is expected; with several verdicts, Holm's "
        "correction for their number; 'normbench verify' gives the reasons",
        "; ".join(text for text in shared if text),
        trains_text(tables),
    ]
    figure = sheet.finish(tables.title, lines, [("", _handles(verdicts, beyond))], "", "")
    for rows in claims:
        for r in rows:
            sheet.at(r, 0).tick_params(labelbottom=r == rows[-1], bottom=r == rows[-1])
    return {"claims": figure}


def _name(one: Verdict) -> str:
    return "\n".join(parts(one.group, NAME_INCHES, 8.5)) if one.group else one.id


def _axis_name(one: Verdict) -> str:
    """Return what the axis shows: `ratio of the largest rate that trains (of / against)`."""
    what = one.measure.label
    if one.claim.comparison == "slope":
        decades = ", in decades," if one.measure.scale == "log" else ""
        return f"slope of {what}{decades} over {one.claim.over}"
    sign = "/" if one.claim.comparison == "ratio" else "-"
    return f"{one.claim.comparison}, {what}: {_side(one, 'of')} {sign} {_side(one, 'against')}"


def _side(one: Verdict, name: str) -> str:
    """Return a group by the values that tell it from the other, or its name where that is not short."""
    groups = one.claim.groups
    own, other = groups[name], groups["against" if name == "of" else "of"]
    differing = {key: value for key, value in own.items() if other.get(key) != value}
    short = differing and not any(isinstance(value, list) for value in differing.values())
    return label(tuple(differing), differing.values(), named=True) if short else name


def _limits(verdicts: Sequence[Verdict]) -> tuple[float, float, bool]:
    """Return the ends of a block's axis and whether it is logarithmic; far ends of intervals stay outside."""
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


def _row(ax: Axes, one: Verdict, name: str, limits: tuple[float, float, bool], font: float) -> bool:
    """Draw one verdict; return whether its interval goes on beyond the axis."""
    low, high, log = limits
    ax.set_xscale("log" if log else "linear")
    ax.set_xlim(low, high)
    ax.set_ylim(-1, 1)
    ax.set_yticks([0], [name])
    ax.tick_params(left=False)
    ax.grid(False, axis="y")
    if log:
        plain_log(ax.xaxis, low, high)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.axvline(1.0 if log else 0.0, color=GREY, lw=0.7, zorder=1)
    ax.axvspan(*(min(max(x, low), high) for x in one.claim.region), color=EXPECTED, lw=0, zorder=0.6)
    for x in one.claim.region:
        if low < x < high:
            ax.axvline(x, color="#5B8A5B", lw=0.9, zorder=1.1)
    look = LOOKS[one.verdict]
    if one.verdict == "inconclusive" and not _obvious(one):
        nothing = math.isnan(one.estimate) and math.isnan(one.ci_low)  # else the marks stand in the middle
        text = "\n".join(wrap(one.reason.split(";")[0], 5.2, font - 1))
        y, va = (0.5, "center") if nothing else (0.96, "top")
        ax.text(0.02, y, text, transform=ax.transAxes, va=va, size=font - 1, color=INK, bbox=PAPER, zorder=2)
    ends = [one.ci_low, one.ci_high]
    beyond = False
    if not any(map(math.isnan, ends)):
        ax.plot([min(max(x, low), high) for x in ends], [0, 0], color=look["color"], lw=1.6, zorder=3)
        for x, sign, at in ((ends[0], "<", low), (ends[1], ">", high)):
            if not low <= x <= high:
                ax.plot(at, 0, sign, color=look["color"], ms=6, clip_on=False, zorder=4)
                beyond = True
    if low <= one.estimate <= high:
        ax.plot(one.estimate, 0, ls="none", zorder=5, **{"ms": 6, "mew": 1.2, **look})
    return beyond


def _obvious(one: Verdict) -> bool:
    """Return whether the picture alone tells why it is inconclusive: the interval reaches over the bound."""
    low, high = one.claim.region
    inside = low <= one.ci_low and one.ci_high <= high
    outside = one.ci_high < low or one.ci_low > high
    return one.at_level is not None and not inside and not outside


def _handles(verdicts: Sequence[Verdict], beyond: bool) -> list[tuple[Any, str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[tuple[Any, str]] = [(Patch(color=EXPECTED), "expected")]
    for word, look in LOOKS.items():
        if any(one.verdict == word for one in verdicts):
            handles.append((Line2D([], [], ls="-", lw=1.6, **{"ms": 6, "mew": 1.2, **look}), word))
    if beyond:
        handles.append((Line2D([], [], ls="none", marker=">", color=INK), "goes on beyond the axis"))
    return handles


FIGURES = (
    FigureKind(
        "claims",
        "estimate and interval of each claim, against what is expected",
        applies,
        draw,
        swept_x=False,
    ),
)

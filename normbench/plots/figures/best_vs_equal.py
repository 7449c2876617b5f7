"""Each variant at its own best rate, beside all of them at equal rates: two answers to 'is it better?'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import number, score
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import FigureKind, Request, notes, several_seeds, trains_text, view
from normbench.plots.figures.rate import NAMES, accuracy_column
from normbench.plots.sheet import Sheet
from normbench.plots.style import Look, looks
from normbench.stats.intervals import t_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EQUAL = 4  # equal rates shown, at most
TICKS = (  # of an axis of shares, from wide to narrow ranges
    (0.02, 0.1, 0.5, 0.9, 0.98, 0.998),
    (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99),
    tuple(k / 100 for k in range(2, 100, 2)),
    tuple(k / 100 for k in range(1, 100)),
)


def applies(tables: Tables) -> bool:
    """Rates and something else are swept, and an accuracy was measured."""
    return RATE in tables.varied and len(tables.varied) > 1 and accuracy_column(tables) is not None


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw final accuracies: a column for each variant's own best rate, then columns of equal rates."""
    shown = view(tables, Request(None, request.color, request.panel), RATE)
    runs = shown.runs[shown.runs["outcome"].notna()]
    measure = accuracy_column(tables) or "final_test_accuracy"
    best = marks.best_table(shown)
    equal = equal_rates(runs, best)
    variants, panels = len(shown.color), len(shown.panels)
    sheet = Sheet(
        panels, 1 + len(equal), height=max(0.6, 0.2 * variants + 0.12), widest=3.2, narrowest=1.5, hgap=0.2
    )
    sheet.left = max(len(t) for t in shown.color.labels) * sheet.font * 0.62 / 72 + 0.35
    sheet.heads = {(0, 0): "each at its own best rate"}
    sheet.heads.update({(0, c + 1): f"all at rate {number(rate)}" for c, rate in enumerate(equal)})
    if panels > 1:
        sheet.strips = dict(enumerate(_panel_names(shown)))
    reached = runs.loc[runs["outcome"] != "diverged", measure].dropna()
    limits = (
        max(0.01, _shift(float(reached.min()), -0.4)) if len(reached) else 0.05,
        min(0.9995, _shift(float(reached.max()), 0.5)) if len(reached) else 0.95,
    )
    styles = looks(shown.color)
    used: set[str] = set()
    for p in range(panels):
        part = runs[runs["panel"] == p]
        for c in range(1 + len(equal)):
            ax = sheet.at(p, c)
            ax.set_ylim(variants - 0.5, -0.5)
            ax.set_yticks(range(variants), shown.color.labels)
            _stretch(ax, limits)
            own = best[best["panel"] == p].set_index("color")
            for code in range(variants):
                rate = own["rate"].get(code, np.nan) if c == 0 else equal[c - 1]
                cell = part[(part["color"] == code) & np.isclose(part[RATE], rate)]
                used |= _cell(ax, cell, measure, code, styles[code], several_seeds(shown))
                if c == 0 and len(cell):
                    _name_rate(ax, own.loc[code], code, cell[measure].mean(), styles[code], sheet.font)
    interval = (
        "line: 95 % Student-t interval of the mean over seeds"
        if several_seeds(shown)
        else "n = 1: no interval"
    )
    lines = notes(tables, shown, f"{NAMES[measure].split(' (')[0]}; {interval}", trains_text(tables))
    lines.append(
        f"best rate: best mean {score(runs)[1]} over seeds, named in the first column; !: at the grid's edge"
    )
    return {
        "best_vs_equal": sheet.finish(
            tables.title,
            lines,
            [("", marks.sign_handles(used))],
            f"{NAMES[measure]}, stretched towards 0 and 1",
            "",
        )
    }


def equal_rates(runs: pd.DataFrame, best: pd.DataFrame) -> list[float]:
    """Return some rates that all variants have and at which some train, one near the first variant's best."""
    variants = runs["color"].nunique()
    rates = runs.groupby(RATE)["color"].nunique()
    trains = runs.groupby(RATE)["outcome"].agg(lambda o: bool((o == "trains").any()))
    common = [float(r) for r in rates.index if rates[r] == variants and trains[r]]
    if len(common) <= EQUAL:
        return common
    chosen = {common[round(float(i))] for i in np.linspace(0, len(common) - 1, EQUAL)}
    first = best.loc[best["color"] == 0, "rate"]
    wanted = float(first.median()) if len(first) else common[0]
    nearest = min(common, key=lambda r: abs(np.log(r / wanted)))
    if nearest not in chosen:
        chosen.discard(min(chosen, key=lambda r: abs(np.log(r / nearest))))
        chosen.add(nearest)
    return sorted(chosen)


def _panel_names(shown: Any) -> list[str]:
    """Return each panel's whole name, for here every panel is a row."""
    panels = shown.panels
    names = []
    for r, c in panels.where:
        parts = [panels.strips.get(r, ""), panels.heads.get((r, c) if not panels.strips else (0, c), "")]
        names.append(", ".join(p for p in parts if p))
    return names


def _cell(ax: Axes, cell: pd.DataFrame, measure: str, y: int, look: Look, several: bool) -> set[str]:
    """Draw one variant at one rate: the mean over its seeds with its interval, a cross for diverged seeds."""
    if not len(cell):
        return set()
    used = {"average"}
    lost = cell["outcome"] == "diverged"
    values = cell.loc[~lost, measure].dropna().to_numpy(float)
    if lost.any():
        word, sign = ("diverged", "x") if lost.all() else ("some diverged", "+")
        used.add(word)
        where = ax.get_yaxis_transform()
        ax.plot(0.04, y, sign, color=look.color, ms=4, mew=1.1, transform=where, zorder=4)
    if not len(values):
        return used - {"average"}
    stuck = (cell.loc[~lost, "outcome"] == "stuck").any()
    used.add("stuck" if stuck else "trains")
    if several:
        interval = t_interval(values)
        if np.isfinite(interval.low):
            ends = np.clip([interval.low, interval.high], *ax.get_xlim())
            ax.plot(ends, [y, y], color=look.color, lw=1.3, zorder=3)
    ax.plot(
        float(np.clip(values.mean(), *ax.get_xlim())),
        y,
        marker=look.marker,
        color=look.color,
        mfc="white" if stuck else look.color,
        ms=4.8,
        zorder=5,
    )
    return used - {"average"}


def _name_rate(ax: Axes, best: Any, y: int, mean: float, look: Look, font: float) -> None:
    """Write a best rate at the side of the panel where there is room."""
    text = number(best["rate"]) + (" !" if best["edge"] else "")
    right = (
        ax.transLimits.transform(ax.transScale.transform((mean, 0)))[0] < 0.5 if np.isfinite(mean) else False
    )
    x, side = (0.97, "right") if right else (0.03, "left")
    ax.text(
        x, y, text, transform=ax.get_yaxis_transform(), ha=side, va="center", size=font - 1, color=look.color
    )


def _shift(share: float, by: float) -> float:
    """Return a share moved along the stretched axis."""
    share = min(max(share, 1e-4), 1 - 1e-4)
    return float(1 / (1 + np.exp(-np.log(share / (1 - share)) - by)))


def _stretch(ax: Axes, limits: tuple[float, float]) -> None:
    """Stretch an axis of shares towards 0 and 1 (logit), where accuracies differ by little that matters."""
    ax.set_xscale("logit")
    ax.set_xlim(*limits)
    ticks: list[float] = []
    for usual in TICKS:
        ticks = [t for t in usual if limits[0] <= t <= limits[1]]
        if len(ticks) > 1:
            break
    else:
        ticks = [float(f"{t:.4g}") for t in np.linspace(*limits, 4)[1:3]]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_major_formatter(FixedFormatter([number(t) for t in ticks]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


FIGURES = (
    FigureKind("best_vs_equal", "each variant at its own best rate, and all at equal rates", applies, draw),
)

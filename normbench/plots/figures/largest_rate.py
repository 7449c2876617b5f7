"""The largest rate that trains, by variant and depth: every seed a dot, the grid's width always drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from normbench.analysis.tables import Tables
from normbench.analysis.variants import edges, levels, number, refining
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.base import (
    FigureKind,
    Request,
    colors_name,
    key_label,
    notes,
    several_seeds,
    trains_text,
)
from normbench.plots.dots import Slots, slot_view, strip, summary
from normbench.plots.style import looks, plain_log
from normbench.stats.outcome import edge_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 5  # rates, each of which gets a tick


def applies(tables: Tables) -> bool:
    """There are at least three rates, and outcomes."""
    return (
        RATE in tables.runs.columns
        and tables.runs[RATE].nunique() > 2
        and bool(tables.runs["outcome"].notna().any())
    )


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw for each seed where its rates stop training, and the geometric mean over seeds."""
    shown = slot_view(tables, request, refined=True)
    slots, styles = Slots(shown), looks(shown.color)
    runs = shown.runs.assign(x=marks.x_levels(shown).codes if not slots.own_axis else shown.runs["color"])
    keys = ("panel", "color", "x")
    found = edges(runs, keys)
    places = levels(runs, keys).values
    searched = refining(runs)
    rates = np.array(sorted(runs.loc[~searched, RATE].dropna().unique()), dtype=float)
    step = float(np.median(rates[1:] / rates[:-1])) if len(rates) > 1 else 3.0
    all_edges = [e for seeds in found.values() for e in seeds.values()]
    nowhere = any(e is None for e in all_edges)
    beyond = any(e is not None and np.isinf(e.next) for e in all_edges)
    # Room for what has no value: below for 'trains at no rate', above for 'up to the last rate'.
    span = np.log10(rates[-1] / rates[0]) or 1.0
    low = rates[0] / 10 ** (0.03 * span)
    bottom = low / 10 ** (0.12 * span) if nowhere else low
    top = rates[-1] * (step if beyond else 1) * 10 ** (0.04 * span)
    sheet = slots.sheet(shown)
    used = {"grid", "seed"} | ({"mean"} if several_seeds(shown) else set())
    for _, _, ax in sheet.panels():
        ax.set_yscale("log")
        ax.set_ylim(bottom, top)
        if len(rates) <= FEW:
            ax.yaxis.set_major_locator(FixedLocator(rates.tolist()))
            ax.yaxis.set_major_formatter(FixedFormatter([number(r) for r in rates]))
            ax.yaxis.set_minor_locator(NullLocator())
        else:
            plain_log(ax.yaxis, rates[0], rates[-1])
        slots.label(ax, sheet)
        if nowhere:
            strip(ax, bottom, low, "no rate")
    for group, seeds in found.items():
        panel, color, x = places[group]
        ax, look = sheet.at(*slots.where[panel]), styles[color]
        for seed, edge in seeds.items():
            at = slots.seed(x, color, seed)
            if edge is None:
                ax.plot(at, np.sqrt(bottom * low), "x", color=look.color, ms=slots.size, mew=1.1, zorder=4)
                used.add("no rate")
                continue
            end = edge.next if np.isfinite(edge.next) else rates[-1] * step
            ax.plot(
                [at, at],
                [edge.top, end],
                color=look.color,
                lw=0.75 * slots.size,
                alpha=0.25,
                solid_capstyle="butt",
                zorder=2,
            )
            if np.isinf(edge.next):
                ax.plot(
                    at, end, marker=marks.OPEN, color=look.color, mfc="none", ms=1.6 * slots.size, zorder=4
                )
                ax.plot(
                    at, edge.top, look.marker, color=look.color, mfc="white", ms=slots.size, mew=0.9, zorder=4
                )
                used.add("open")
            else:
                ax.plot(
                    at,
                    edge.estimate,
                    look.marker,
                    color=look.color,
                    mfc="white",
                    ms=slots.size,
                    mew=0.9,
                    zorder=4,
                )
            if edge.holes:
                ax.plot([at] * len(edge.holes), edge.holes, "+", color=look.color, ms=4.5, mew=0.9)
                used.add("hole")
        if len(seeds) > 1:
            summary(
                ax, slots.summary(x, color), edge_interval(list(seeds.values())), look.color, top, slots.size
            )
    interval = (
        "interval over seeds and grid: 95 % Student-t" if several_seeds(shown) else "n = 1: no interval"
    )
    lines = notes(tables, shown, f"largest learning rate that trains; {interval}", trains_text(tables))
    grid = f"{len(rates)} rates from {rates[0]:g} to {rates[-1]:g}"
    if searched.any():
        grid += ", then for each seed a search between its largest that trains and the next"
    lines.append(
        f"{grid}; a seed's dot: the middle (geometric) between its largest rate that trains and the next rate"
    )
    handles = [] if slots.own_axis else marks.line_handles(shown.color, styles)
    return {
        "largest_rate": sheet.finish(
            tables.title,
            lines,
            [(colors_name(shown), handles), ("", marks.sign_handles(used))],
            colors_name(shown) if slots.own_axis else key_label(shown.x),
            "largest learning rate that trains",
        )
    }


FIGURES = (FigureKind("largest_rate", "largest rate that trains, by variant and depth", applies, draw),)

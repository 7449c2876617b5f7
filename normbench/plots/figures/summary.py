"""The whole answer on one page: which rates train, how good the best one is, how fast it gets there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import at_best_rate, edges, levels, number, refining
from normbench.names import RATE
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Grid, Place, marks_of
from normbench.plots.figures.convergence import accuracy_measure
from normbench.plots.figures.steps_to_target import first_reached
from normbench.plots.kind import FigureKind, Handles
from normbench.plots.means import GROUP, SHARE, by_outcome, value_limits
from normbench.plots.one_rate import without_lr
from normbench.plots.over_key import NAMES, accuracy_column
from normbench.plots.style import GREY, INK
from normbench.plots.view import Request, view
from normbench.stats.intervals import median_interval
from normbench.stats.outcome import edge_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

COLUMNS = [*GROUP, "block", "mark", "x", "mean", "low", "high", "n", "stuck", "text"]
MOST_NEVER = "more than half never"  # reach the target
BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # words hide the grid
Row = dict[str, Any]


class Summary(FigureKind):
    """The whole answer: rates that train, best accuracy, steps to a target, a row for each variant."""

    name: Literal["summary"] = "summary"

    swept_x: ClassVar[bool] = False

    def applies(self, tables: Tables) -> bool:
        """Return whether variants differ, each with at least three learning rates, and some run ended."""
        return (
            RATE in tables.varied
            and len(tables.varied) > 1
            and tables.runs[RATE].nunique() > 2
            and bool(tables.runs["outcome"].notna().any())
        )

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return a row of panels for each value of the other keys, a column for each question.

        Marks of the first column: `range` (from the smallest to the largest learning rate that trains),
        `value` (the largest one with its interval), `open` (it trains up to the last rate: `mean` is a lower
        bound). Of the others: `value`. `word`: there is no number, `text` says why. With a number, `text`
        is the number. Accuracies are in percent.
        """
        shown = view(without_lr(tables), Request(None, request.color, request.panel), None, refined=True)
        runs, measure, target = shown.ended, accuracy_column(tables), 0.0
        rows, heads = _rates(runs), ["learning rates that train"]
        axes = [_rate_axis(runs)]
        if measure is not None:
            found = _accuracies(runs, measure)
            rows, heads = rows + found, [*heads, f"{NAMES[measure].split(' (')[0]}, at the best rate"]
            axes.append(_accuracy_axis(found, NAMES[measure].split(" (")[0]))
        timed = accuracy_measure(tables)
        if timed is not None and tables.metrics["step"].nunique() > 2:
            found, target = _steps(tables, runs, request.target, len(axes))
            name = f"steps to {timed.replace('_', ' ')} {number(target)}"
            rows, heads = rows + found, [*heads, f"{name}, at the best rate"]
            axes.append(_step_axis(found, name))
        frame = _frame(rows)
        names = shown.panels.names
        last = len(names) - 1
        y = Axis("", "levels", (len(shown.color) - 0.5, -0.5), names=shown.color.labels)
        places = [
            Place(p, c, p, c, _on_row(x, p == last), y) for p in range(last + 1) for c, x in enumerate(axes)
        ]
        timed_alone = frame[(frame["block"] == 2) & (frame["mark"] == "value")]
        few = len(timed_alone) > 0 and not timed_alone["low"].notna().any()
        return [
            Chart(
                stem="summary",
                title=tables.title,
                frame=frame,
                grid=Grid(
                    tuple(places),
                    {(0, c): head for c, head in enumerate(heads)},
                    dict(enumerate(names)) if last else {},
                ),
                color=shown.color,
                caption=caption(
                    tables,
                    shown,
                    "; ".join(heads).replace(", at the best rate", ""),
                    "mean (rates: geometric; steps: median)",
                ),
                warnings=warnings(
                    tables,
                    shown,
                    "!: the best rate is at the grid's edge" if frame["text"].str.contains("!").any() else "",
                    "no interval of a median below n = 6" if few else "",
                ),
                footer=footer(tables, outcomes=True),
                signs=frozenset(frame["mark"]) | ({"hollow"} if _hollow(frame).any() else set()),
            )
        ]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: low panels with room at their right for the numbers."""
        from normbench.plots.labels import width

        size = chart.points(8.0)
        word = chart.frame["mark"] == "word"
        numbers, words = (
            max((width(text, size) for text in texts), default=0.4)
            for texts in (chart.frame.loc[~word, "text"], chart.frame.loc[word, "text"])
        )
        room = 0.16 + numbers
        narrowest = min(2.4, max(1.1, (words - numbers) / 0.75))  # words may reach into the room of numbers
        height = max(0.45, 0.21 * len(chart.color) + 0.1)
        return {"height": height, "widest": 2.4, "narrowest": narrowest, "hgap": room + 0.12, "beside": room}

    def narrow(self, chart: Chart) -> Chart:
        """Return the chart with the longest words in short: how many seeds reach the target says it."""
        text = chart.frame["text"].str.replace(f"{MOST_NEVER} \\((.+)\\)", r"\1", regex=True)
        return replace(chart, frame=chart.frame.assign(text=text))

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw ranges as bars, values with their intervals, numbers beside the panel and words in it."""
        low, high = look.x.inner
        for row in marks_of(part):
            color, y = look.of(row.color).color, row.color
            if row.mark == "range":
                ends = np.clip([row.low, row.high], low, high)
                ax.plot(ends, [y, y], color=color, lw=6.5, alpha=0.3, solid_capstyle="butt", zorder=2)
                continue
            if row.mark == "word":
                where: dict[str, Any] = {
                    "transform": ax.get_yaxis_transform(),
                    "va": "center",
                    "bbox": BEHIND,
                }
                ax.text(0.02, y, row.text, size=look.points(look.font - 1), color=GREY, zorder=4, **where)
                continue
            if np.isfinite(row.low):
                ends = np.clip([row.low, row.high], low, high)
                ax.plot(ends, [y, y], color=color, lw=1.3, zorder=3)
            fill = "white" if row.stuck else color
            marker = ">" if row.mark == "open" else look.of(row.color).marker
            ax.plot(
                np.clip(row.mean, low, high),
                y,
                marker,
                color=color,
                mfc=fill,
                ms=4.8,
                zorder=5,
                clip_on=False,
            )
            ax.text(1.02, y, row.text, transform=ax.get_yaxis_transform(), va="center",
                    size=look.points(look.font - 1), color=INK)  # fmt: skip

    def signs(self, chart: Chart) -> Handles:
        """Return what the marks mean."""
        from matplotlib.lines import Line2D

        known: dict[str, tuple[dict[str, Any], str]] = {
            "range": (
                {"lw": 6.5, "alpha": 0.3, "solid_capstyle": "butt"},
                "from the smallest to the largest learning rate that trains",
            ),
            "value": ({"lw": 1.3, "marker": "o", "ms": 4.8}, "estimate with its 95 % interval"),
            "hollow": (
                {"ls": "none", "marker": "o", "ms": 4.8, "mfc": "white"},
                "at least one seed is stuck",
            ),
            "open": ({"ls": "none", "marker": ">", "ms": 4.8}, "trains up to the last rate"),
        }
        used = [known[name] for name in known if name in chart.signs]
        return [(Line2D([], [], color=INK, **look), text) for look, text in used]


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows, columns=COLUMNS)
    numbers = dict.fromkeys(("mean", "low", "high", "stuck"), float)
    return frame.astype(numbers).fillna({"text": "", "stuck": 0.0})


def _hollow(frame: pd.DataFrame) -> pd.Series[bool]:
    return (frame["mark"] == "value") & (frame["stuck"] > 0)


def _on_row(axis: Axis, last: bool) -> Axis:
    """Return the axis with its name if it is the one of the last row."""
    return axis if last else replace(axis, label="")


def _rates(runs: pd.DataFrame) -> list[Row]:
    """Return each cell's range of rates that train and the largest of them, over the seeds that have one."""
    rows: list[Row] = []
    groups = levels(runs, GROUP)
    for group, seeds in edges(runs, GROUP).items():
        panel, color = groups.values[group]
        cell: Row = {"panel": panel, "color": color, "block": 0, "n": len(seeds)}
        own = runs[groups.codes == group]
        known = [edge for edge in seeds.values() if edge is not None]
        if not known:
            rows.append({**cell, "mark": "word", "text": _why_none(own)})
            continue
        some = "" if len(known) == len(seeds) else f" ({len(known)} of {len(seeds)} seeds)"
        first = own[own["outcome"] == "trains"].groupby("seed")[RATE].min().to_numpy(float)
        top = np.exp(np.mean(np.log([edge.top for edge in known])))
        one = edge_interval(list(seeds.values()))
        bounded = bool(np.isfinite(one.estimate))
        largest = float(one.estimate) if bounded else float(top)
        rows.append({**cell, "mark": "range", "low": float(np.exp(np.log(first).mean())), "high": largest})
        ends: Row = {"mean": largest, "low": one.low, "high": one.high}
        text = f"{'' if bounded else 'at least '}{number(largest)}{some}"
        rows.append({**cell, "mark": "value" if bounded else "open", **ends, "text": text})
    return rows


def _why_none(runs: pd.DataFrame) -> str:
    """Return how the runs of a cell end of which no rate trains."""
    words = set(runs["outcome"])
    if len(words) > 1:
        return f"no rate trains ({', '.join(sorted(words))})"
    return {"diverged": "diverges at every rate", "stuck": "stuck at every rate"}.get(
        words.pop(), "crashed at every rate"
    )


def _accuracies(runs: pd.DataFrame, measure: str) -> list[Row]:
    """Return each cell's final accuracy at its best rate, in percent, over the seeds that did not fail."""
    best = at_best_rate(runs, GROUP)
    rates = best.groupby(GROUP)[["rate", "edge"]].first()
    rows: list[Row] = []
    for row in marks_of(by_outcome(best, GROUP, measure, log=False)):
        rate, edge = rates.loc[(row.panel, row.color)]
        at = f" at {number(rate)}{' !' * bool(edge)}"
        cell: Row = {"panel": row.panel, "color": row.color, "block": 1, "n": row.n}
        failed = [f"{getattr(row, word)} of {row.n} {word}" for word in ("diverged", "crashed")
                  if getattr(row, word)]  # fmt: skip
        if not np.isfinite(row.mean):
            rows.append({**cell, "mark": "word", "text": ", ".join(failed) or "no accuracy"})
            continue
        text = f"{100 * row.mean:.1f} %{at}" + "".join(f", {text}" for text in failed)
        if not row.trains:
            rows.append({**cell, "mark": "word", "mean": 100 * row.mean, "text": f"stuck: {text}"})
            continue
        ends = {"low": 100 * max(row.low, 0.0), "high": 100 * min(row.high, 1.0)}
        rows.append({**cell, "mark": "value", "mean": 100 * row.mean, **ends, "text": text})
    return rows


def _steps(tables: Tables, runs: pd.DataFrame, wish: float | None, block: int) -> tuple[list[Row], float]:
    """Return the median of each cell's steps to the target, and the target."""
    first, target = first_reached(tables, runs, GROUP, wish)
    rows: list[Row] = []
    for (panel, color), part in first.groupby(GROUP):
        steps = part["first"].dropna().to_numpy(float)
        cell: Row = {"panel": panel, "color": color, "block": block, "n": len(steps)}
        reached = int(np.isfinite(steps).sum())
        one = median_interval(steps)
        some = "" if reached == len(steps) else f" ({reached} of {len(steps)} reach it)"
        if not reached:
            rows.append({**cell, "mark": "word", "text": "never" if len(steps) else "crashed"})
        elif not np.isfinite(one.estimate):
            rows.append({**cell, "mark": "word", "text": f"{MOST_NEVER}{some}"})
        else:
            ends = {"mean": one.estimate, "low": one.low, "high": one.high}
            rows.append({**cell, "mark": "value", **ends, "text": f"{one.estimate:,.0f}{some}"})
    return rows, target


def _rate_axis(runs: pd.DataFrame) -> Axis:
    rates = np.array(sorted(runs.loc[~refining(runs), RATE].dropna().unique()), dtype=float)
    room = (rates[-1] / rates[0]) ** 0.04
    limits = float(rates[0] / room), float(rates[-1] * room)
    return Axis("learning rate", "values", limits, log=True, values=tuple(rates.tolist()))


def _accuracy_axis(rows: Sequence[Row], name: str) -> Axis:
    frame = _frame([row for row in rows if row["mark"] == "value"])
    low, high = value_limits(frame[["mean", "low", "high"]] / 100, False, SHARE)
    return Axis(f"{name} (%)", limits=(100 * low, 100 * high))


def _step_axis(rows: Sequence[Row], name: str) -> Axis:
    frame = _frame([row for row in rows if row["mark"] == "value"])
    ends = frame[["mean", "high"]].to_numpy(float)
    ends = ends[np.isfinite(ends)]
    return Axis(name, limits=(0.0, 1.08 * float(ends.max()) if len(ends) else 1.0), whole=True)

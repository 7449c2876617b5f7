"""Each variant at its own best learning rate, beside all of them at equal ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import number
from normbench.names import RATE
from normbench.plots import marks
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Grid, Place, marks_of
from normbench.plots.kind import FigureKind
from normbench.plots.means import SHARE, best_table, by_outcome, point_signs, value_limits
from normbench.plots.over_key import NAMES, accuracy_column
from normbench.plots.view import Request, View, view

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

FAR = 6.0  # errors whose ratio is larger are on a logarithmic axis
EQUAL = 4  # equal learning rates shown, at most


class BestVsEqual(FigureKind):
    """Each variant at its own best learning rate, and all at equal ones."""

    name: Literal["best_vs_equal"] = "best_vs_equal"

    def applies(self, tables: Tables) -> bool:
        """Return whether learning rates and another key are swept and an accuracy was measured."""
        return RATE in tables.varied and len(tables.varied) > 1 and accuracy_column(tables) is not None

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return final errors, a column for the best learning rates, then columns of equal ones.

        One row for each variant (`color`), panel and column (`block`; 0: at its best): `lr`; mean, low, high
        of the error in percent (100 minus accuracy) of the seeds that did not fail; how many of n train, are
        stuck, diverged and crashed; `edge` of the best.
        """
        shown = view(tables, Request(None, request.color, request.panel), RATE)
        measure = accuracy_column(tables) or "final_test_accuracy"
        best = best_table(shown)
        equal = equal_lrs(shown.ended, best)
        frame = _frame(shown, measure, best, equal)
        y = Axis("", "levels", (len(shown.color) - 0.5, -0.5), names=shown.color.labels)
        error = NAMES[measure].split(" (")[0].replace("accuracy", "error")
        x = _axis(f"{error} (%), smaller is better", frame)
        panels = len(shown.panels)
        places = [Place(p, c, p, c, x, y) for p in range(panels) for c in range(1 + len(equal))]
        heads = {(0, 0): "each at its own best"}
        heads.update({(0, c + 1): f"all at learning rate {number(rate)}" for c, rate in enumerate(equal)})
        strips = dict(enumerate(shown.panels.names)) if panels > 1 else {}
        what = f"{error} (100 % - accuracy) at the best rate (named; !: at the grid's edge) and at equal ones"
        return [
            Chart(
                stem="best_vs_equal",
                title=tables.title,
                frame=frame,
                grid=Grid(tuple(places), heads, strips),
                color=shown.color,
                caption=caption(tables, shown, what),
                warnings=warnings(tables, shown),
                footer=footer(tables, outcomes=True),
                signs=point_signs(frame),
            )
        ]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: low panels, many in a row."""
        height = max(0.6, 0.2 * len(chart.color) + 0.12)
        return {"height": height, "widest": 3.2, "narrowest": 1.5, "hgap": 0.2}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw means with intervals, signs for diverged and crashed seeds, and the names of best rates."""
        low, high = look.x.inner
        for row in marks_of(part):
            style, y = look.of(row.color), row.color
            # Above the mean, where no mark covers them; at the worst end where no seed has a mean.
            drawn = bool(np.isfinite(row.mean))
            x = float(np.clip(row.mean, low, high)) if drawn else 0.96
            where = ax.transData if drawn else ax.get_yaxis_transform()
            if row.diverged:
                sign = "x" if row.diverged == row.n else "+"
                above = y - 0.34 * drawn
                ax.plot(x, above, sign, color=style.color, ms=4, mew=1.1, transform=where, zorder=6)
            if row.crashed:
                below = y + 0.34 * (drawn or bool(row.diverged))
                crashed: dict[str, Any] = {"marker": marks.crash(), "mfc": "none", "ms": 4.5, "mew": 0.9}
                ax.plot(x, below, color=style.color, transform=where, zorder=6, **crashed)
            if np.isfinite(row.low):
                ends = np.clip([row.low, row.high], low, high)
                ax.plot(ends, [y, y], color=style.color, lw=1.3, zorder=3)
            if np.isfinite(row.mean):
                fill = "white" if row.stuck else style.color
                mark: dict[str, Any] = {"marker": style.marker, "mfc": fill, "ms": 4.8}
                ax.plot(np.clip(row.mean, low, high), y, color=style.color, zorder=5, clip_on=False, **mark)
            if row.block == 0:
                _name_lr(ax, row, style.color, look)


def _frame(shown: View, measure: str, best: pd.DataFrame, equal: list[float]) -> pd.DataFrame:
    """Return the cells of all columns."""
    import pandas as pd

    runs = shown.ended
    own = best.set_index(["panel", "color"])
    rate_of, edge_of = own["rate"].to_dict(), own["edge"].to_dict()
    keys = list(runs[["panel", "color"]].itertuples(index=False, name=None))
    at_best = np.isclose(runs[RATE], [rate_of.get(key, np.nan) for key in keys])
    frames = []
    for block, chosen in enumerate([at_best, *(np.isclose(runs[RATE], rate) for rate in equal)]):
        cells = runs[chosen].assign(lr=runs.loc[chosen, RATE])
        frames.append(by_outcome(cells, ["panel", "color", "lr"], measure, log=False).assign(block=block))
    frame = pd.concat(frames, ignore_index=True)
    worst, best_end = frame["low"].clip(0, 1), frame["high"].clip(0, 1)
    frame["mean"], frame["low"], frame["high"] = (
        100 * (1 - share) for share in (frame["mean"], best_end, worst)
    )
    keys = list(frame[["panel", "color"]].itertuples(index=False, name=None))
    return frame.assign(mark="point", edge=[edge_of.get(key, "") for key in keys])


def _axis(name: str, frame: pd.DataFrame) -> Axis:
    """Return the axis of the errors in percent, logarithmic if they differ much; an error of 0 is on it."""
    means = frame["mean"].to_numpy(float)
    means = means[np.isfinite(means)]
    above = means[means > 0]
    if not len(above) or (above.max() / above.min() < FAR and len(above) == len(means)):
        low, high = value_limits(frame[["mean", "low", "high"]] / 100, False, SHARE)
        return Axis(name, limits=(100 * low, 100 * high))
    low, high = float(above.min()), min(100.0, float(above.max()) * 1.5)
    if len(above) < len(means):  # linear from 0 on
        return Axis(name, limits=(0.0, high), log=True, linear=low)
    return Axis(name, limits=(low / 1.8, high), log=True)


def equal_lrs(runs: pd.DataFrame, best: pd.DataFrame) -> list[float]:
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


def _name_lr(ax: Axes, row: Any, color: Any, look: Look) -> None:
    """Write the best learning rate at the side of the panel where there is room."""
    text = number(row.lr) + (" !" if row.edge else "")
    place = ax.transLimits.transform(ax.transScale.transform((row.mean, 0)))[0]
    x, side = (0.97, "right") if place < 0.5 else (0.03, "left")  # NaN: at the left
    where: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "ha": side, "va": "center"}
    ax.text(x, row.color, text, size=look.points(look.font - 1), color=color, **where)

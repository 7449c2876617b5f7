"""The largest stable learning rate that the sharpness predicts, beside the one that the sweep found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import at_best_rate, edges, levels, refining, variant_keys
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Grid
from normbench.plots.figures.largest_rate import LargestRate
from normbench.plots.kind import FigureKind, Handles
from normbench.plots.means import GROUP, mean_band
from normbench.plots.one_rate import without_lr
from normbench.plots.probed import measured, rows
from normbench.plots.style import BLUE, INK, RED
from normbench.plots.view import Request, View, view
from normbench.stats.outcome import edge_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

STABLE = "sharpness.stable_rate"
LINES = (  # mark, color, sign, where it is in the row of its variant, text
    ("start", BLUE, "o", -0.24, "predicted at the first measurement"),
    ("end", RED, "s", 0.0, "predicted at the last one, at the best rate"),
    ("found", INK, "|", 0.24, "found by the sweep"),
)


class StableRate(FigureKind):
    """The largest stable learning rate that the sharpness predicts beside the one that was found."""

    name: Literal["stable_rate"] = "stable_rate"

    swept_x: ClassVar[bool] = False
    probe: ClassVar[str] = "sharpness"

    def applies(self, tables: Tables) -> bool:
        """Return whether sharpness was measured in a sweep of at least three learning rates."""
        return measured(tables, STABLE) and LargestRate().applies(tables)

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return for each variant both predictions and what the sweep found.

        Marks `start`, `end` and `found`, each with mean, low and high.
        """
        color = request.color if request.color is not None else variant_keys(tables)
        shown = view(without_lr(tables), Request(panel=request.panel), None, color, refined=True)
        frame = _frame(tables, shown)
        found = frame[frame["mark"] == "found"]
        nowhere = not found[["mean", "low"]].notna().any(axis=1).all()
        names = shown.color.labels
        return [
            Chart(
                stem="stable_rate",
                title=tables.title,
                frame=frame,
                grid=Grid.of_panels(
                    shown.panels,
                    Axis("learning rate (per step)", limits=_limits(frame), log=True),
                    Axis(shown.color_name, "rows", (len(names) - 0.5, -0.5), names=names),
                ),
                color=shown.color,
                caption=caption(
                    tables, shown, "2 / sharpness, and the largest rate that trains", "geometric mean"
                ),
                warnings=warnings(
                    tables,
                    shown,
                    "without a black line: trains at no rate" if nowhere else "",
                    "a line to the edge goes on beyond" if np.isinf(frame["high"]).any() else "",
                ),
                footer=footer(tables, outcomes=True),
            )
        ]

    def layout(self, chart: Chart) -> dict[str, float]:
        """Return the sizes: rows of equal height."""
        return {"height": min(5.0, 0.36 * len(chart.color) + 0.3)}

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw the three lines of each variant, with their intervals."""
        edge = look.x.inner[1]
        for mark, color, sign, offset, _ in LINES:
            own = part[part["mark"] == mark]
            at = own["color"] + offset
            # An infinite end goes to the edge: the rates of the sweep did not reach it.
            ax.hlines(at, own["low"], np.minimum(own["high"], edge), color=color, lw=1.1, zorder=3)
            there = np.isfinite(own["mean"])
            size = 9 if sign == "|" else 4.5
            ax.plot(own["mean"][there], at[there], sign, color=color, ms=size, mew=1.6, ls="none", zorder=4)

    def signs(self, chart: Chart) -> Handles:
        """Return what the three lines mean."""
        from matplotlib.lines import Line2D

        return [
            (Line2D([], [], color=color, marker=sign, ms=9 if sign == "|" else 4.5, mew=1.6, lw=1.1), text)
            for _, color, sign, _, text in LINES
        ]


def _frame(tables: Tables, shown: View) -> pd.DataFrame:
    """Return mean, low and high of each line of each panel and color."""
    import pandas as pd

    table = rows(tables, shown, [STABLE])
    table["seed"] = table["run"].map(shown.runs.drop_duplicates("run").set_index("run")["seed"])
    scan = shown.runs[~refining(shown.runs)]
    best = at_best_rate(scan, GROUP)["run"]
    last = table[table["run"].isin(best) & ~table["diverged"]].sort_values("step")
    parts = {
        "start": table[table["step"] == table["step"].min()],
        "end": last.drop_duplicates(["run", *GROUP], keep="last"),
    }
    by = [*GROUP, "seed"]  # at the start, the runs of a seed differ only in the learning rate
    frames = [
        mean_band(part.groupby(by)["value"].median().reset_index(), GROUP, "value", True).assign(mark=mark)
        for mark, part in parts.items()
    ]
    places = levels(shown.runs, GROUP).values
    found: list[tuple[Any, ...]] = []
    for group, seeds in edges(shown.runs, GROUP).items():
        one = edge_interval(list(seeds.values()))
        found.append((*places[group], one.estimate, one.low, one.high, one.n, "found"))
    frames.append(pd.DataFrame(found, columns=[*GROUP, "mean", "low", "high", "n", "mark"]))
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True).assign(block=0)


def _limits(frame: pd.DataFrame) -> tuple[float, float]:
    """Return limits of the rate that hold all means and finite ends."""
    values = frame[["mean", "low", "high"]].to_numpy(float).ravel()
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return 0.1, 10.0
    return float(values.min()) / 1.6, float(values.max()) * 1.6

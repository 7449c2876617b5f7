"""Means against a swept key, most often the learning rate, with the failures of each variant."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables
from normbench.analysis.variants import short_key
from normbench.names import FAILED
from normbench.plots import marks
from normbench.plots.captions import caption, footer, warnings
from normbench.plots.chart import Axis, Chart, Grid, Strip
from normbench.plots.kind import FigureKind
from normbench.plots.means import (
    GROUP,
    SHARE,
    beside,
    best_table,
    by_outcome,
    over_lr,
    point_signs,
    value_limits,
    x_axis,
    x_levels,
    x_positions,
)
from normbench.plots.view import View

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from normbench.plots.style import Look

LOSS = "train_loss_last_tenth"
NAMES = {
    "final_test_accuracy": "final test accuracy (share)",
    "final_val_accuracy": "final validation accuracy (share)",
    "final_train_accuracy": "final training accuracy (share)",
    LOSS: "final training loss (nats)",
    "gap_accuracy": "training minus test accuracy (share)",
    "gap_loss": "test minus training loss (nats)",
}
ANY = (-np.inf, np.inf)
POSSIBLE = {"gap_accuracy": (-1.0, 1.0)}  # of shares, what differs from 0 to 1
RINGS = {"best": "o", "high": ">", "low": "<"}


def accuracy_column(tables: Tables) -> str | None:
    """Return the final accuracy to show: on test images, else validation, else training batches."""
    columns = (f"final_{part}_accuracy" for part in ("test", "val", "train"))
    return next((name for name in columns if tables.runs[name].notna().any()), None)


class OverKey(FigureKind):
    """Measures against a swept key, a block of panels for each measure."""

    def draw_on(self, ax: Axes, part: pd.DataFrame, look: Look) -> None:
        """Draw lines with bands, marks (hollow: a seed is stuck), crosses in the strip, rings at the best."""
        floor = look.y.inner[0]
        strip = look.y.strip
        for code, own in _by_color(part):
            style = look.of(code)
            lost, n = own["diverged"], own["n"]
            crashed = own["crashed"] > 0
            if strip is not None:
                for sign, chosen in (("x", lost == n), ("+", (lost > 0) & (lost < n))):
                    if chosen.any():
                        marks.in_strip(ax, own["x"][chosen], own["height"][chosen], sign, style.color)
                if crashed.any():
                    at, height = own["x"][crashed], own["height"][crashed]
                    marks.in_strip(ax, at, height, marks.crash(), style.color, 4.5)
            drawn = np.isfinite(own["mean"])
            x, mean, low, high = (own[name][drawn] for name in ("x", "mean", "low", "high"))
            ax.plot(x, mean, color=style.color, ls=style.dashes, zorder=3)
            if np.isfinite(low).any():
                ceiling = None if look.y.log or mean.max() > 1 else 1.0
                low, high = low.clip(floor, ceiling), high.clip(floor, ceiling)  # not into the strip
                marks.area(ax, x, low, high, style.color, 0.14)
            stuck = own["stuck"][drawn] > 0
            least, most = look.y.inner
            # Marks at the edge of a panel stay whole, unless some are beyond it.
            clip = not bool(((mean >= least) & (mean <= most)).all())
            for chosen, fill in ((~stuck, style.color), (stuck, "white")):
                if chosen.any():
                    ax.plot(
                        x[chosen],
                        mean[chosen],
                        ls="none",
                        marker=style.marker,
                        color=style.color,
                        mfc=fill,
                        zorder=4,
                        clip_on=clip,
                    )
            for at, height, best in zip(x, mean, own["best"][drawn], strict=True):
                if best:
                    ring: dict[str, Any] = {"ms": 9, "mfc": "none", "mew": 1.2, "clip_on": clip}
                    ax.plot(at, height, RINGS[best], color=style.color, zorder=5, **ring)


def _by_color(part: pd.DataFrame) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Yield each color with its rows as arrays, which are faster than small frames."""
    columns = {str(name): part[name].to_numpy() for name in part}
    for code in np.unique(columns["color"]):
        yield int(code), {name: values[columns["color"] == code] for name, values in columns.items()}


def over_key(
    tables: Tables,
    shown: View,
    measures: Sequence[str],
    stem: str,
    what: str = "",
    names: dict[str, str] = NAMES,
    logs: Collection[str] = (LOSS,),
    more: Sequence[str] = (),
) -> Chart:
    """Return measures against the horizontal axis of a view.

    Args:
        tables: the experiment.
        shown: the runs; each measure is a column of them.
        measures: one block of panels for each.
        stem: of the file.
        what: what the figure shows, for the caption; empty: the measures' names.
        names: what the vertical axis of each measure says; without one, the name of its column.
        logs: the measures on a logarithmic axis, of which the mean is geometric.
        more: further warnings.

    Returns:
        One row for each point: mean, low, high of the runs that did not fail; how many of `n` count as
        `trains`, `stuck`, `diverged` and `crashed`; `height` of a cross in the strip; `best`: empty, `best`,
        or `low` and `high` at an end of the grid.
    """
    labels = {measure: names.get(measure, measure.replace("_", " ")) for measure in measures}
    axis, rows = x_axis(shown), len(shown.color)
    lost = [word for word in FAILED if (shown.runs["outcome"] == word).any()]
    share = min(0.3, max(0.08, 0.05 * rows)) if lost else 0.0
    best = best_table(shown)
    frames, axes = [], []
    beyond = False
    for block, measure in enumerate(measures):
        log = measure in logs
        table = _points(shown, measure, log, best)
        table["block"] = block
        table["height"] = share * (rows - table["color"] - 0.5) / rows
        shape = table[(table["stuck"] == 0) & np.isfinite(table["mean"])]
        # Stuck runs can have any loss. They may leave a panel of gaps, which shows what the others have.
        possible = POSSIBLE.get(measure, SHARE if "(share" in labels[measure] else ANY)
        low, high = value_limits(shape if measure == "gap_loss" and len(shape) else table, log, possible)
        if measure == "gap_loss":
            beyond |= bool(((table["mean"] < low) | (table["mean"] > high)).any())
        strip, bottom = None, low
        if share:
            bottom = beside(low, high, share, log)[0]
            strip = Strip(bottom, low, " or ".join(lost), "left")
        level = None
        if measure == LOSS:
            level = tables.trains_below * float(shown.runs["label_entropy"].median())
        axes.append(Axis(labels[measure], limits=(bottom, high), log=log, level=level, strip=strip))
        frames.append(table)
    frame = _joined(frames)
    geometric = set(measures) <= set(logs)
    words = [labels[m].split(" (")[0] for m in measures]
    what = what or f"{' and '.join(words)} against the {short_key(shown.x or '')}"
    return Chart(
        stem=stem,
        title=tables.title,
        frame=frame,
        grid=_without_hidden_text(Grid.of_panels(shown.panels, axis, *axes), frame),
        color=shown.color,
        color_name=shown.color_name,
        caption=caption(tables, shown, what, "geometric mean" if geometric else "mean"),
        warnings=warnings(tables, shown, *more, "stuck seeds far beyond the others are cut off" * beyond),
        footer=footer(tables, outcomes=True),
        signs=point_signs(frame) | ({"threshold"} if LOSS in measures else set()),
    )


def _without_hidden_text(grid: Grid, frame: pd.DataFrame) -> Grid:
    """Remove the text of strips that have crosses in their left third, where it is written."""
    places = []
    for place in grid.places:
        part = frame[(frame["panel"] == place.panel) & (frame["block"] == place.block)]
        crosses = part.loc[part["diverged"] + part["crashed"] > 0, "place"]
        y = place.y
        if y.strip is not None and len(crosses) and crosses.min() <= part["place"].max() / 3:
            y = replace(y, strip=replace(y.strip, side=""))
        places.append(replace(place, y=y))
    return replace(grid, places=tuple(places))


def _points(shown: View, measure: str, log: bool, best: pd.DataFrame) -> pd.DataFrame:
    """Return the points of one measure, with their places on the axis and which of them are the best."""
    ended = shown.runs["outcome"].notna().to_numpy()
    runs = shown.ended.assign(place=x_levels(shown).codes[ended])
    table = by_outcome(runs, [*GROUP, "place"], measure, log)
    table["x"] = x_positions(shown)[table["place"].to_numpy(int)]
    table["best"] = ""
    if over_lr(shown):
        chosen = best[best["trains"]].set_index(GROUP)
        keys = list(table[GROUP].itertuples(index=False, name=None))
        rate_of, edge_of = chosen["rate"].to_dict(), chosen["edge"].to_dict()
        rates = np.array([rate_of.get(key, np.nan) for key in keys])
        edges = np.array([edge_of.get(key, "") or "best" for key in keys], dtype=object)
        table.loc[np.isclose(table["x"], rates) & np.isfinite(table["mean"]), "best"] = "best"
        table["best"] = table["best"].where(table["best"] == "", edges)
    return table.assign(mark="point")


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    import pandas as pd

    return pd.concat(frames, ignore_index=True)

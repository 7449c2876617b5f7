"""Views of the runs at one learning rate: the best of each variant, or the same for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Union

from normbench.analysis.tables import Tables
from normbench.analysis.variants import at_best_rate, in_order, label, levels, number
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import RATE
from normbench.plots.means import GROUP
from normbench.plots.view import Keys, Request, View, view

BEST = "best"
MOST_NAMED = 8  # variants whose best learning rates are named
Rate = Union[str, float]  # BEST, or a swept learning rate


@dataclass(frozen=True)
class BestView:
    """A view of each variant's runs at its own best learning rate.

    `rates`: the rate of each cell, as text by the cell's label. `edge`: the cells whose best rate is at an
    end of the grid.
    """

    shown: View
    rates: dict[str, str]
    edge: tuple[str, ...]

    @property
    def named(self) -> str:
        """Return `none: 0.398; batchnorm: 0.158`; empty if there are too many to name."""
        text = "; ".join(f"{name}: {rate}" for name, rate in self.rates.items())
        return text if len(self.rates) <= MOST_NAMED else ""

    @property
    def notes(self) -> list[str]:
        """Return what a page says of the best rates: which they are, and which are at the grid's edge."""
        named = f"best learning rate of {self.named}" if self.named else ""
        edge = f"best learning rate at the grid's edge: {', '.join(self.edge)}" if self.edge else ""
        return [text for text in (named, edge) if text]


def without_lr(tables: Tables) -> Tables:
    """Hide the learning rate from the choice of axis, colors and panels: the figure chooses it itself."""
    return replace(tables, swept=tuple(k for k in tables.swept if k != RATE))


def best_view(
    tables: Tables, request: Request, x: str | None, color: Keys | None, panel: Keys | None
) -> BestView:
    """Return the runs of each variant at its own best learning rate.

    Args:
        tables: the experiment.
        request: the user's wishes, which come first.
        x: the figure's own horizontal axis.
        color: the figure's own colors; None: the keys of the variants.
        panel: the figure's own panels.
    """
    shown = view(without_lr(tables), request, x, color, panel)
    runs = at_best_rate(shown.runs, GROUP)
    variants = levels(runs, shown.cell_keys, named=True)
    cells = runs.assign(cell=variants.codes).drop_duplicates("cell").sort_values("cell")
    rates = {variants.labels[c]: number(r) for c, r in cells[["cell", "rate"]].itertuples(index=False)}
    at_edge = tuple(variants.labels[c] for c in cells.loc[cells["edge"] != "", "cell"])
    return BestView(replace(shown, runs=runs), rates, at_edge)


def equal_view(tables: Tables, request: Request, rate: float, color: Keys | None, panel: Keys | None) -> View:
    """Return the runs of all variants at one learning rate.

    Args:
        tables: the experiment.
        request: the user's wishes, which come first.
        rate: a swept learning rate, as `swept_rate` returns it.
        color: the figure's own colors; None: the keys of the variants.
        panel: the figure's own panels.
    """
    there = tables.runs[tables.runs[RATE] == rate]
    return view(without_lr(replace(tables, runs=there)), request, None, color, panel)


def swept_rate(tables: Tables, wish: Rate) -> Rate:
    """Return BEST or the swept learning rate that the user means; three digits are enough.

    Raises:
        NormbenchError: no learning rate is swept, or the wish is none of them.
    """
    if RATE not in tables.varied:
        raise NormbenchError(
            f"rate: the learning rate does not vary in {tables.folder}; leave --rate out, or sweep {RATE}"
        )
    if wish == BEST:
        return BEST
    rates = [float(r) for r in in_order(tables.runs[RATE]) if r is not None]
    wanted = _number(wish)
    found = [r for r in rates if wanted is not None and abs(r - wanted) <= 1e-9 * r]
    found = found or [r for r in rates if number(wanted) == number(r)]
    if len(found) == 1:
        return found[0]
    choices = [BEST, *(label((RATE,), (r,)) for r in rates)]
    hint = did_you_mean(str(wish), choices)
    raise NormbenchError(f"rate: '{wish}' is no learning rate of this sweep; {hint}{one_of(choices)}")


def _number(wish: Rate) -> float | None:
    try:
        return float(wish)
    except ValueError:
        return None

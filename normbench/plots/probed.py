"""What the figures of the probes share: the rows of layers.csv, the choice of layers and steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from normbench.analysis.tables import Tables
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import NET, RATE
from normbench.plots.means import GROUP
from normbench.plots.one_rate import best_view
from normbench.plots.view import Keys, Request, View, view

if TYPE_CHECKING:
    import pandas as pd

    from normbench.probes import Quantity

OUTPUTS = ("classifier", "head")  # names that models give to the layers whose outputs are the logits
LAST = ""  # each net's last hidden layer, whose name depends on the depth


def measured(tables: Tables, *quantities: str) -> bool:
    """Return whether layers.csv has all of these quantities."""
    return set(quantities) <= set(quantities_of(tables))


def any_measured(tables: Tables, *quantities: str) -> bool:
    """Return whether layers.csv has one of these quantities."""
    return not set(quantities).isdisjoint(quantities_of(tables))


def quantities_of(tables: Tables) -> list[str]:
    """Return the quantities that layers.csv holds, in its order."""
    return [str(name) for name in tables.layers["quantity"].unique()]


def absent(tables: Tables, probe: str) -> str:
    """Return why a figure of a probe cannot be drawn."""
    found = sorted({name.split(".")[0] for name in quantities_of(tables)})
    where = tables.folder / "layers.csv"
    return f"it shows what the probe '{probe}' measures; {where} has {', '.join(found) or 'no rows'}"


def probe_view(
    tables: Tables,
    request: Request,
    quantities: Sequence[str],
    color: Keys | None = None,
    panel: Keys | None = None,
    most: int = 12,
    x: str | None = None,
) -> View:
    """Return the view of the runs that have these quantities.

    Where learning rates would make too many panels, each variant is shown at its best one alone.

    Args:
        tables: the experiment.
        request: the user's wishes, which come first; its `x` does not count.
        quantities: of layers.csv.
        color: the figure's own colors; None: the keys of the variants.
        panel: the figure's own panels.
        most: panels that a page can hold.
        x: the horizontal axis, if it is a swept key.
    """
    layers = tables.layers
    there = layers.loc[layers["quantity"].isin(list(quantities)), "run"].unique()
    tables = replace(tables, runs=tables.runs.loc[np.sort(there)])
    wish = replace(request, x=x)
    shown = view(tables, wish, x, color, panel)
    asked = (*(request.panel or ()), *shown.color.keys)
    if len(shown.panels) <= most or RATE in asked or RATE not in shown.panels.keys:
        return shown
    other = tuple(k for k in panel or () if k != RATE)
    best = best_view(tables, wish, x, color, other)
    which = f" ({best.named})" if best.named and len(best.rates) > 1 else ""
    said = f"each at its best learning rate{which}; --panel {RATE} shows all"
    return replace(best.shown, notes=[*best.shown.notes, said])


def rows(tables: Tables, shown: View, quantities: Sequence[str], layer: str | None = None) -> pd.DataFrame:
    """Return what the probes measured of the runs of a view.

    Args:
        tables: the experiment.
        shown: the runs, with their panels and colors.
        quantities: of layers.csv.
        layer: one layer, or LAST; None: all.

    Returns:
        The columns run, step, layer, quantity, value, panel, color, and diverged: whether the run did.
    """
    table = tables.layers
    wanted = table["quantity"].isin(list(quantities))
    if layer:
        wanted &= table["layer"] == layer
    if layer == LAST:
        wanted &= ~table["layer"].isin([NET, *OUTPUTS])
    table = table[wanted]
    if layer == LAST:  # the rows of a run and step are in the order of depth
        last = table.drop_duplicates("run", keep="last").set_index("run")["layer"].astype(object)
        table = table[table["layer"].astype(object) == table["run"].map(last)]
    roles = shown.runs[["run", *GROUP]].assign(diverged=shown.runs["outcome"] == "diverged")
    found = table.merge(roles, on="run")
    return found.astype({"layer": object, "quantity": object})


def layers_of(table: pd.DataFrame) -> list[str]:
    """Return the layers in the order of depth: those of the deepest net, then those that only others have."""
    pairs = table[["run", "layer"]].drop_duplicates()
    sizes = pairs["run"].map(pairs["run"].value_counts())
    order = pairs.assign(size=sizes).sort_values("size", ascending=False, kind="stable")["layer"]
    return [str(name) for name in order.unique()]


def chosen_layer(tables: Tables, request: Request, quantities: Sequence[str]) -> tuple[str, str]:
    """Return the layer that the user names, else LAST, and its name for the caption."""
    table = tables.layers[tables.layers["quantity"].isin(list(quantities))]
    known = [name for name in layers_of(table) if name != NET]
    if request.layer is not None:
        return (_known(request.layer, known, "layer"),) * 2
    hidden = [name for name in known if name not in OUTPUTS] or known
    one = table.loc[table["layer"] == hidden[-1], "run"].nunique() == table["run"].nunique()
    return LAST, f"the last hidden layer ({hidden[-1]})" if one else "each net's last hidden layer"


def chosen_quantities(tables: Tables, request: Request, usual: Sequence[str]) -> list[str]:
    """Return the quantities that the user names, else those of the usual ones that were measured."""
    known = quantities_of(tables)
    if request.quantities:
        return [_known(name, known, "quantity") for name in dict.fromkeys(request.quantities)]
    return [name for name in usual if name in known]


def chosen_steps(table: pd.DataFrame, request: Request, usual: int) -> list[int]:
    """Return the measured steps nearest to those that the user names, else some from first to last."""
    steps = np.unique(table["step"].to_numpy())
    if not len(steps):
        return []
    if request.steps:
        places = [int(np.abs(steps - step).argmin()) for step in request.steps]
    else:
        places = np.linspace(0, len(steps) - 1, usual).round().astype(int).tolist()
    return [int(steps[place]) for place in sorted(set(places))]


def option(tables: Tables, probe: str, name: str) -> Any:
    """Return an option of a probe as the config gives it; None where it does not."""
    listed = tables.config.get("probes")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("name") == probe:
            return one.get(name)
    return None


def _known(name: str, known: Sequence[str], what: str) -> str:
    if name not in known:
        raise NormbenchError(
            f"{what}: '{name}' was not measured here; {did_you_mean(name, known)}{one_of(known)}"
        )
    return name


def named(quantity: str) -> str:
    """Return the label that the probe declares for a quantity, with its unit; without one, its name."""
    found = _declared(quantity)
    return found.text(quantity) if found else quantity


def aggregate_of(quantity: str) -> str:
    """Return which number represents a run: `mean` over the measured steps, or `last`."""
    found = _declared(quantity)
    return found.over_steps if found else "mean"


def _declared(quantity: str) -> Quantity | None:
    from normbench.probes import quantity as declared  # imports torch: only figures of probes need it

    return declared(quantity)


def unitless(quantity: str) -> str:
    """Return the label of a quantity without its unit, for a caption."""
    return named(quantity).split(" (")[0]


def page_name(figure: str, quantity: str) -> str:
    """Return the name of a page's file."""
    return f"{figure}_{re.sub(r'[^A-Za-z0-9]+', '_', quantity).strip('_')}"


def spans_decades(values: np.ndarray) -> bool:
    """Return whether the values need a logarithmic scale."""
    values = values[np.isfinite(values)]
    above = values[values > 0]
    return bool(len(above) > len(values) / 2 and values.min() >= 0 and above.max() / above.min() > 30)

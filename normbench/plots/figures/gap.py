"""The gap between training and test, in accuracy and in loss, against the learning rate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from normbench.analysis.tables import Tables
from normbench.plots.base import FigureKind, Request, main_axis, view
from normbench.plots.figures.rate import measured

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def applies(tables: Tables) -> bool:
    """Training and test accuracy were both measured at the end of some run, and a key is swept."""
    columns = ["final_train_accuracy", "final_test_accuracy"]
    return bool(tables.varied) and bool(tables.runs[columns].notna().all(axis=1).any())


def draw(tables: Tables, request: Request) -> dict[str, Figure]:
    """Draw training minus test accuracy, and test minus training loss."""
    shown = view(tables, request, main_axis(tables))
    runs = shown.runs
    runs = runs.assign(
        gap_accuracy=runs["final_train_accuracy"] - runs["final_test_accuracy"],
        gap_loss=runs["final_test_loss"] - runs["final_train_loss"],
    )
    measures = ["gap_accuracy", "gap_loss"] if len(shown.panels) <= 9 else ["gap_accuracy"]
    measures = [m for m in measures if runs[m].notna().any()]
    return {"gap": measured(tables, replace(shown, runs=runs), measures)}


FIGURES = (FigureKind("gap", "training minus test accuracy, against the rate", applies, draw),)

"""The gap between training and test."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from normbench.analysis.tables import Tables
from normbench.plots.chart import Chart
from normbench.plots.over_key import OverKey, over_key
from normbench.plots.view import Request, main_axis, view

MOST_PANELS = 9  # beyond, only accuracy is shown
BATCHES = "training values are means over the last batches in training mode (older records)"


class Gap(OverKey):
    """Training minus test accuracy, and test minus training loss, against the learning rate.

    Training images are measured at inference, as the test images are. Records of version 0.2 lack these
    values: there, means over the last training batches take their place, and the page says so.
    """

    name: Literal["gap"] = "gap"

    def applies(self, tables: Tables) -> bool:
        """Return whether a key is swept and some run has both training and test accuracy at its end."""
        columns = ["final_train_accuracy", "final_test_accuracy"]
        return bool(tables.varied) and bool(tables.runs[columns].notna().all(axis=1).any())

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return both gaps, a block of panels each."""
        shown = view(tables, request, main_axis(tables))
        runs = shown.runs
        ended = runs.loc[runs["status"] == "finished", "inference_train_accuracy"]
        train = "inference_train" if len(ended) and ended.notna().all() else "final_train"
        runs = runs.assign(
            gap_accuracy=runs[f"{train}_accuracy"] - runs["final_test_accuracy"],
            gap_loss=runs["final_test_loss"] - runs[f"{train}_loss"],
        )
        measures = ["gap_accuracy", "gap_loss"] if len(shown.panels) <= MOST_PANELS else ["gap_accuracy"]
        measures = [m for m in measures if runs[m].notna().any()]
        more = [] if train == "inference_train" else [BATCHES]
        return [over_key(tables, replace(shown, runs=runs), measures, "gap", more=more)]

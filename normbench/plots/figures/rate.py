"""Final accuracy and loss against the learning rate."""

from __future__ import annotations

from typing import Literal

from normbench.analysis.tables import Tables
from normbench.names import RATE
from normbench.plots.chart import Chart
from normbench.plots.over_key import LOSS, OverKey, accuracy_column, over_key
from normbench.plots.view import Request, view

MOST_PANELS = 9  # beyond, accuracy and loss get a page each


class Rate(OverKey):
    """Final accuracy and loss against the learning rate, for each variant."""

    name: Literal["rate"] = "rate"

    def applies(self, tables: Tables) -> bool:
        """Return whether there are at least two learning rates and some run ended."""
        return RATE in tables.varied and bool(tables.runs["outcome"].notna().any())

    def compute(self, tables: Tables, request: Request) -> list[Chart]:
        """Return final accuracy above final training loss; two pages where there are many panels."""
        shown = view(tables, request, RATE)
        accuracy = accuracy_column(tables)
        if accuracy is None:
            return [over_key(tables, shown, [LOSS], "rate")]
        if len(shown.panels) <= MOST_PANELS:
            return [over_key(tables, shown, [accuracy, LOSS], "rate")]
        return [
            over_key(tables, shown, [accuracy], "rate"),
            over_key(tables, shown, [LOSS], "rate_loss"),
        ]

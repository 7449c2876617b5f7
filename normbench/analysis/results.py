"""The records of an experiment as tidy frames, for people who work in Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.analysis.summary import summary_rows
from normbench.analysis.tables import Tables, load_tables
from normbench.analysis.verify import COLUMNS, verdict_row, verify
from normbench.markup import html_table

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = ("estimate", "ci_low", "ci_high", "p", "p_family", "p_book")  # columns of the verdicts


@dataclass(frozen=True, repr=False)
class Results(Tables):
    """One experiment as tidy frames: `runs`, `curves`, `layers` and `verdicts`.

    `metrics` has the rows of metrics.csv; `curves` adds the settings of each row's run. `layers` has what
    probes measured. In all three, `run_id` names the run, as in `runs`.
    """

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Return a row for each evaluation: run id, seed, the swept settings, status, outcome, numbers."""
        settings = self.runs[["run_id", "seed", *self.swept, "status", "outcome"]]
        mine = settings.iloc[self.metrics["run"].to_numpy()].reset_index(drop=True)
        numbers = self.metrics.drop(columns=["run", "run_id"]).reset_index(drop=True)
        return mine.join(numbers)

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """Return a row for each verdict on a claim, with the columns of claims.csv; nothing is written."""
        import pandas as pd

        found = verify(self.folder, write=False).verdicts
        frame = pd.DataFrame([verdict_row(one) for one in found], columns=list(COLUMNS))
        return frame.astype(dict.fromkeys(_NUMBERS, "float64"))

    def __repr__(self) -> str:
        ended = int(self.runs["outcome"].notna().sum())
        return f"Results({str(self.folder)!r}: {ended:,} of {len(self.runs):,} runs ended)"

    def _repr_html_(self) -> str:
        """Return the table of the variants for a notebook."""
        rows = [_variant(row) for row in summary_rows(self)]
        heads = list(dict.fromkeys(head for row in rows for head in row))
        title = f"{self.title}: {len(self.runs):,} runs in {self.folder}"
        cells = [[row.get(head) for head in heads] for row in rows]
        return html_table(title, heads, cells, self.warnings)


def _variant(row: dict[str, Any]) -> dict[str, Any]:
    """Return the cells of a variant, by column."""
    cells = {"variant": row["variant"], "seeds": row["seeds"], "runs": row["runs"]}
    if edge := row.get("largest_rate"):
        cells["largest rate that trains"] = _interval(edge)
    if best := row.get("best"):
        at = f"\nat rate {best['rate']:.4g}" if isinstance(best["rate"], float) else ""
        cells[f"best {best['measure']}"] = _interval(best) + at
    cells["trains"] = _interval(row["trains"])
    if row["crashes"]:
        cells["crashes"] = row["crashes"]
    return cells


def _interval(found: dict[str, Any]) -> str:
    """Return `0.92 [0.9, 0.94]`; an estimate alone where the interval is not known."""
    estimate, low, high = (_short(found[key]) for key in ("estimate", "low", "high"))
    return f"{estimate} [{low}, {high}]" if low and high else estimate


def _short(value: float | str | None) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else value or ""


def load_results(folder: Path | str) -> Results:
    """Return the records of an experiment's folder; see `load_tables`."""
    tables = load_tables(folder)
    return Results(**{name: getattr(tables, name) for name in tables.__dataclass_fields__})

"""Parquet files, for pandas, polars, DuckDB and Spark."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from normbench.exports.base import Source, Target
from normbench.records.files import write_file


class Parquet(Target):
    """The CSV files as Parquet: runs, settings, metrics and, with probes, layers of each experiment.

    Columns and types are those of `normbench.load`: float32 in metrics.parquet, otherwise float64.
    settings.parquet has a row for each run with all its settings, those that are not swept included.
    """

    name: Literal["parquet"] = "parquet"

    modules: ClassVar[tuple[str, ...]] = ("pyarrow",)

    def write(self, sources: Sequence[Source], place: Path) -> Iterator[Path]:
        """Write the files of each experiment into `place/EXPERIMENT/`, and yield them."""
        import pandas as pd

        for source in sources:
            folder = place / source.name
            folder.mkdir(parents=True, exist_ok=True)
            settings = pd.DataFrame(source.settings)
            settings.insert(0, "run_id", source.runs["run_id"])
            frames = {
                "runs": source.runs,
                "settings": settings,
                "metrics": source.metrics,
                "layers": source.layers,
            }
            for name, frame in frames.items():
                if len(frame) or name != "layers":
                    data = io.BytesIO()
                    frame.to_parquet(data, engine="pyarrow", index=False)
                    write_file(folder / f"{name}.parquet", data.getvalue())
                    yield folder / f"{name}.parquet"

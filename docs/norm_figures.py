"""Finds and draws the figure of each page of docs/norms/: final accuracy and loss against the learning rate.

`claim_pages.py` calls it. Of all experiments that sweep the rate of a normalization, the figure shows the one
that has most of `BESIDE` next to it; among equals the one that varies the fewest other settings, then the one
with the most rates, the most seeds, the first name. A file keeps a digest of what it shows. So it is drawn
again only when the results are others, because another version of matplotlib draws other bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from normbench.analysis.tables import Tables, load_tables
from normbench.analysis.variants import number, refining, short_key
from normbench.names import RATE, VARIANT
from normbench.plots import compute, draw
from normbench.plots.chart import Chart
from normbench.plots.paper import Paper

BESIDE = ("none", "batchnorm")
FEWEST = 3  # rates
LOOK = 1  # to be raised when the figures are to look otherwise
FIGURE, DIGEST = "rate", "normbench"
WIDTH, DOTS, COLORS = 4.6, 105, 64  # inches, dots per inch


@dataclass(frozen=True)
class Comparison:
    """Where a normalization is compared with others at several learning rates, and how well.

    `settings`: the value of each other key that the experiment varies.
    """

    tables: Tables
    norm: str
    beside: tuple[str, ...]
    settings: dict[str, Any]
    rates: int
    seeds: int

    @property
    def rank(self) -> tuple[int, ...]:
        """Return what is larger for the better comparison."""
        return len(self.beside), -len(self.settings), self.rates, self.seeds

    @property
    def where(self) -> list[str]:
        """Return the filter for its runs, as `plots.compute` takes it."""
        norms = [f"{VARIANT}={name}" for name in (self.norm, *self.beside)]
        return [*norms, *(f"{key}={value}" for key, value in self.settings.items())]

    @cached_property
    def chart(self) -> Chart:
        """Return what the figure shows."""
        ((_, chart),) = compute(self.tables, [FIGURE], where=self.where)
        return chart

    @property
    def notes(self) -> list[str]:
        """Return what the figure's page would warn of, apart from its choice of normalizations."""
        return [said for said in self.chart.warnings if not said.startswith("only runs with")]

    @property
    def digest(self) -> str:
        """Return a number that is another one when the figure shows something else."""
        frame = self.chart.frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        words = [self.chart.color.labels, sorted(self.chart.signs), LOOK]
        return hashlib.sha256(f"{words}\n{frame}".encode()).hexdigest()[:16]

    def text(self) -> str:
        """Return the figure with its caption, in Markdown."""
        lines = ", ".join(self.chart.color.labels)
        with_settings = ", ".join(f"{short_key(k)} {number(v)}" for k, v in self.settings.items())
        parts = [
            f"{self.chart.caption}.",
            f"From `{self.tables.folder.name}`{f' with {with_settings}' * bool(with_settings)}:",
            f"{self.tables.title.rstrip('.')}.",
            *(f"{said[:1].upper()}{said[1:]}." for said in self.notes),
        ]
        what = self.chart.caption.split(";")[0]
        return f"![{what}, a line for each of: {lines}]({self.norm}.png)\n\n{' '.join(parts)}\n"

    def is_drawn(self, path: Path) -> bool:
        """Return whether a file shows what this figure would."""
        if not path.is_file():
            return False
        with Image.open(path) as image:
            return image.info.get(DIGEST) == self.digest

    def save(self, path: Path) -> None:
        """Draw the figure into a file; few colors make it small."""
        paper = Paper(title="", caption=False, width=WIDTH)
        ((_, figure),) = draw(self.tables, [FIGURE], paper, where=self.where)
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=DOTS)
        said = PngImagePlugin.PngInfo()
        said.add_text(DIGEST, self.digest)
        with Image.open(data) as image:
            image.convert("RGB").quantize(COLORS).save(path, format="png", optimize=True, pnginfo=said)


def comparisons(folders: Iterable[Path]) -> dict[str, Comparison]:
    """Return the best comparison of each normalization whose learning rate some experiment sweeps."""
    best: dict[str, Comparison] = {}
    for folder in sorted(folders):
        if sweeps_both(folder):
            for one in of_experiment(load_tables(folder)):
                if one.norm not in best or one.rank > best[one.norm].rank:
                    best[one.norm] = one
    return best


def sweeps_both(folder: Path) -> bool:
    """Return whether the runs of an experiment have columns for the normalization and the learning rate."""
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        return {VARIANT, RATE} <= set(file.readline().strip().split(","))


def of_experiment(tables: Tables) -> Iterator[Comparison]:
    """Yield a comparison for each normalization and each set of values of the other keys.

    Options of a normalization are no other keys: each of its variants is a line of the figure.
    """
    runs = tables.runs[~refining(tables.runs) & tables.runs["outcome"].notna()]
    others = [k for k in tables.varied if k not in (VARIANT, RATE) and not k.startswith(f"{VARIANT}.")]
    for values, part in runs.groupby(others, dropna=False, sort=False) if others else [((), runs)]:
        rates = part.groupby(VARIANT)[RATE].nunique()
        seeds = part.groupby(VARIANT)["seed"].nunique()
        for norm in rates.index[rates >= FEWEST]:
            beside = tuple(name for name in BESIDE if name != norm and rates.get(name, 0) >= FEWEST)
            if beside:
                settings = dict(zip(others, values, strict=True))
                yield Comparison(tables, norm, beside, settings, int(rates[norm]), int(seeds[norm]))

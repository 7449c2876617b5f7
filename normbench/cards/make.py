"""A card in one call, for Python and for the command: plan, train what is missing, write the files."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.cards import pages, words
from normbench.cards.card import Card, Number, make_card
from normbench.cards.text import as_text
from normbench.cards.training import Request, Trained, prepare, train
from normbench.durations import seconds_of
from normbench.errors import NormbenchError
from normbench.launch.processes import end_if_worker
from normbench.launch.reporter import Reporter
from normbench.markup import html_table
from normbench.norms import NORMS
from normbench.notebook import reporter_here
from normbench.plugins import load_own, load_plugins, name_of, named
from normbench.plugins.own import Given

if TYPE_CHECKING:
    import pandas as pd

    from normbench.api import ConfigLike

_ROW = ("section", "setting", "name", "title")  # what names a row of the card


@dataclass(frozen=True, repr=False)
class Scorecard:
    """A card with what was trained for it.

    Attributes:
        trained: what the call did.
        files: that it wrote; none if the training was stopped before the end.
    """

    trained: Trained
    files: tuple[Path, ...] = ()

    @cached_property
    def card(self) -> Card:
        """Return rows, ranks and comparisons of what was trained when this is first asked for."""
        return make_card(self.trained.prepared)

    @property
    def norm(self) -> str:
        """Return the normalization that the card is about."""
        return self.trained.prepared.norms[0]

    @property
    def against(self) -> tuple[str, ...]:
        """Return the normalizations that it is compared with."""
        return self.trained.prepared.norms[1:]

    @property
    def folder(self) -> Path:
        """Return the card's folder; each section has its records in it, `load(card.folder / "rates")`."""
        return self.trained.prepared.folder

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return what did not fit into the budget, in the order in which a larger one adds it."""
        return tuple(rung.adds for rung in self.trained.prepared.chosen.left_out)

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """Return a row for each number and normalization: estimate, interval, n and ranks; NaN: unknown."""
        import pandas as pd

        rows = [
            {
                **{key: getattr(row, key) for key in _ROW},
                "unit": row.unit,
                "better": row.better,
                "norm": entry.norm,
                **_columns(entry.value),
                "rank_best": entry.best,
                "rank_worst": entry.worst,
                **{f"change_{key}": value for key, value in _columns(entry.change or Number()).items()},
                "why": entry.why,
            }
            for row in self.card.rows
            for entry in row.entries
        ]
        ranks = {"rank_best": "Int64", "rank_worst": "Int64"}
        return pd.DataFrame(rows).astype(ranks if rows else {})

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Return a row for each comparison of the card's normalization with another one."""
        import pandas as pd

        rows = [
            {
                **{key: getattr(one.row, key) for key in _ROW},
                "other": one.other,
                "word": one.word,
                "scale": one.row.by,
                **_columns(one.difference),
                "p_family": one.p_family,
                "holds_together": one.holds,
            }
            for one in self.card.comparisons
        ]
        return pd.DataFrame(rows)

    @property
    def html(self) -> str:
        """Return the page, which loads nothing."""
        return pages.as_html(self.card)

    @property
    def markdown(self) -> str:
        """Return the card as Markdown."""
        return pages.as_markdown(self.card)

    @property
    def latex(self) -> str:
        """Return the numbers as a LaTeX table for the package booktabs."""
        return pages.as_latex(self.card)

    @property
    def json(self) -> dict[str, Any]:
        """Return the card as plain data; None for unknown numbers, "inf" for infinite ones."""
        return pages.as_json(self.card)

    def __repr__(self) -> str:
        counts = [f"{word} in {len(self.card.where(word))}" for word in ("better", "worse")]
        stopped = ", stopped before the end" if self.trained.interrupted else ""
        return (
            f"Scorecard({self.norm!r} on {self.trained.prepared.setup.name} against "
            f"{', '.join(self.against)}: {', '.join(counts)} of {len(self.card.rows)} rows{stopped})"
        )

    def __str__(self) -> str:
        """Return the table and the lists that the command prints."""
        return as_text(self.card)

    def _repr_html_(self) -> str:
        """Return the rows with values, intervals and ranks as a table for a notebook."""
        rows, before = [], ("", "")
        for row in self.card.rows:
            place = self.trained.prepared.sections[row.section].title, row.setting
            head = ["" if place[: i + 1] == before[: i + 1] else place[i] for i in range(2)]
            entries = ["\n".join(filter(None, words.lines(entry, row))) for entry in row.entries]
            rows.append([*head, words.title(row), *entries])
            before = place
        notes = [
            f"{head}: {'; '.join(place for place, _ in found) or 'nowhere that these seeds could show'}."
            for head, found in pages.lists(self.card)
        ]
        notes += [pages.budget_text(self.card), *pages.NOTES[:2]]
        if self.trained.interrupted:
            notes.insert(0, "The training was stopped before the end; the same call continues it.")
        heads = ["section", "setting", "number", *self.card.prepared.norms]
        return html_table(pages.heading(self.card), heads, rows, notes)


def _columns(one: Number) -> dict[str, Any]:
    return {"estimate": one.estimate, "ci_low": one.low, "ci_high": one.high, "n": one.n}


def scorecard(
    norm: str | Callable[..., Any],
    against: str | Callable[..., Any] | Sequence[str | Callable[..., Any]] = Request.against,
    *,
    budget: str | float = "10m",
    data: ConfigLike = "digits",
    target: float | None = None,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    device: str = "auto",
    launcher: str = "local",
    plugins: Sequence[str | Path] = (),
    own: Sequence[Any] = (),
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Scorecard:
    """Make the report card of a normalization: rates, speed, accuracy, sensitivities and cost, ranked.

    Trains what the results folder does not have yet, and writes scorecard.html, .md, .tex and .json to
    `results/scorecard_<norm>_<data>/`. A larger budget adds sections, settings and seeds, and trains nothing
    twice.

    Args:
        norm: name of a normalization, or a class: an `nn.Module` made with the number of features, or a
            `Normalization`.
        against: names or classes of the normalizations to compare it with.
        budget: training time by the estimate of `plan`: a text such as `90s`, `10m` or `1h`, or seconds.
        data: `digits`, `mnist` or `cifar10`, or a config as for `run` (a path, a dict, ...) with your own
            data, model, optimizer and steps; its name stands for `<data>`.
        target: test accuracy for steps and seconds to a target, above 0 and below 1. By default that of the
            built-in set-up; with a config, these rows are left out.
        results: folder that holds the results folders.
        data_dir: folder of the data sets.
        device: `auto`, `cpu`, `cuda` or `mps`.
        launcher: as for `run`, for the sections whose times do not matter.
        plugins: Python files that register normalizations, as for `--plugin`.
        own: further classes of a notebook or script, as for `run`, for names in `norm` and `against`.
        reporter: hears about the progress. By default, a notebook shows lines of text.
        should_stop: asked every few steps; if true, training ends with everything written. Without it,
            Ctrl-C, a notebook's stop button and SIGTERM end the training so, then do what they usually do.

    Returns:
        The card. If `should_stop` ended the training, it has what was measured so far, and no files.

    Raises:
        NormbenchError: a name is unknown, the budget is too small for the first section, or data or a results
            folder cannot be used.
    """
    end_if_worker()
    reporter = reporter or reporter_here()
    others = list(against) if isinstance(against, (list, tuple)) else [against]
    classes = [Given(one, "normalization") for one in (norm, *others) if not isinstance(one, str)]
    load_plugins(plugins)
    data, given = named(data)
    load_own([*own, *classes, *given], data_dir)
    request = Request(
        norm=_norm_name(norm),
        against=[_norm_name(one) for one in others],
        data=data,
        target=target,
        budget=_seconds(budget),
        results=results,
        data_dir=data_dir,
        device=device,
        launcher=launcher,
        plugins=plugins,
    )
    prepared = prepare(request, reporter.message)
    for sentence in pages.plan_sentences(prepared):
        reporter.message(sentence)
    done = train(prepared, reporter, should_stop)
    if done.interrupted:
        return Scorecard(done)
    found = Scorecard(done, pages.paths(prepared))
    pages.write_pages(found.card)
    return found


def _norm_name(norm: Any) -> str:
    """Return the name of a normalization that was given by name or as a class, which is loaded."""
    if isinstance(norm, str):
        return norm
    name = name_of(norm)
    if name not in NORMS:
        raise NormbenchError(
            f"own: {norm.__name__} is no normalization, and a card is about normalizations; give an "
            "nn.Module that is made with the number of features, or a Normalization of normbench"
        )
    return name


def _seconds(budget: str | float) -> float:
    """Return the seconds of a budget."""
    if isinstance(budget, str):
        try:
            return seconds_of(budget)
        except ValueError as error:
            raise NormbenchError(f"--budget: {error}") from None
    if isinstance(budget, bool) or not isinstance(budget, Real) or not 0 < budget < math.inf:
        raise NormbenchError(f"budget: found {budget!r}; allowed: seconds above 0, or a text such as '10m'")
    return float(budget)

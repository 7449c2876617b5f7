"""The figures of an experiment, drawn from its CSV files alone.

`compute` gives them as data, `draw` as matplotlib's figures, `plot_results` writes their files. The
registry is `plots.figures.FIGURES`. matplotlib is imported when something is drawn.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, cast

from normbench.errors import NormbenchError, RecordsError, did_you_mean, one_of
from normbench.names import FORMATS
from normbench.records.files import own_folder, write_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from normbench.analysis.tables import Tables
    from normbench.plots.chart import Chart
    from normbench.plots.kind import FigureKind
    from normbench.plots.paper import Paper
    from normbench.plots.rendering import Helper

Keys = Union[str, Sequence[str], None]


def plot_results(
    folder: Path | str,
    figures: Sequence[str] | None = None,
    *,
    formats: Sequence[str] = ("png", "svg"),
    out: Path | None = None,
    trains_below: float | None = None,
    paper: Paper | None = None,
    helper: Helper | None = None,
    **wishes: Any,
) -> list[Path]:
    """Draw the figures of one experiment into files.

    Args:
        folder: of the experiment.
        figures: their names; None: those that the experiment's axes make sense of.
        formats: of png, svg, pdf.
        out: where the files go; None: `folder/plots/`.
        trains_below: judges the outcomes again, with this share of the label entropy.
        paper: title, width and letters of the pages.
        helper: draws some of the pages; None: this process draws all.
        wishes: as `compute`.

    Returns:
        The files written.

    Raises:
        NormbenchError: a name is unknown, or a figure makes no sense of this experiment.
    """
    looks: dict[str, Any] = {"formats": formats, "out": out, "trains_below": trains_below, "paper": paper}
    return list(plot_each(folder, figures, helper=helper, **looks, **wishes))


def plot_each(
    folder: Path | str,
    figures: Sequence[str] | None = None,
    *,
    formats: Sequence[str] = ("png", "svg"),
    out: Path | None = None,
    trains_below: float | None = None,
    paper: Paper | None = None,
    helper: Helper | None = None,
    **wishes: Any,
) -> Iterator[Path]:
    """Like `plot_results`, one file after the other.

    Args:
        folder: of the experiment.
        figures: their names; None: those that the experiment's axes make sense of.
        formats: of png, svg, pdf.
        out: where the files go; None: `folder/plots/`.
        trains_below: as `plot_results`.
        paper: title, width and letters of the pages.
        helper: draws some of the pages; None: this process draws all.
        wishes: as `compute`.

    Yields:
        Each file when it is written.

    Raises:
        NormbenchError: as `plot_results`.
    """
    from normbench.analysis.tables import load_tables
    from normbench.plots.paper import Paper
    from normbench.plots.rendering import Page, drawn

    for name in formats:
        if name not in FORMATS:
            raise NormbenchError(
                f"format: '{name}' is unknown; {did_you_mean(name, FORMATS)}{one_of(FORMATS)}"
            )
    tables = load_tables(folder, trains_below)
    target_folder = Path(out) if out is not None else tables.folder / "plots"
    paper = paper or Paper()
    text = _text(tables, paper)
    pages = (Page(*found, paper, text, formats) for found in compute(tables, figures, **wishes))
    refused: list[str] = []
    for page, files in drawn(pages, helper):
        if isinstance(files, str):
            refused.append(files)
            continue
        for name, data in files.items():
            path = target_folder / f"{page.chart.stem}.{name}"
            with _or_elsewhere(path, tables.folder):
                if out is None:
                    own_folder(target_folder)
                target_folder.mkdir(parents=True, exist_ok=True)
                write_file(path, data)
            yield path
    _raise(refused)


@contextmanager
def _or_elsewhere(path: Path, folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into a sentence that says how to draw into another folder."""
    try:
        yield
    except (OSError, RecordsError) as error:
        cause = error.__cause__ if isinstance(error, RecordsError) else error
        if not isinstance(cause, OSError):  # a link, which has its own mend
            raise
        raise RecordsError(
            f"{path}: the figure cannot be written: {cause.strerror or cause}; the records are as they were; "
            f"draw into a folder that can be written: normbench plot {folder} --out DIR"
        ) from error


def draw(
    tables: Tables, figures: Sequence[str] | None = None, paper: Paper | None = None, **wishes: Any
) -> Iterator[tuple[str, Figure]]:
    """Yield (file stem, Figure) one after the other, so that only one figure is in memory.

    A page that is refused does not stop the others. The other arguments are those of `compute`.

    Raises:
        NormbenchError: after all other pages, if some do not fit on the paper.
    """
    from normbench.plots.paper import Paper

    paper = paper or Paper()
    refused: list[str] = []
    for kind, chart in compute(tables, figures, **wishes):
        with styled(_text(tables, paper)):
            from normbench.plots.page import draw_page

            try:
                figure = draw_page(kind, chart, paper)
            except NormbenchError as error:
                refused.append(str(error))
                continue
        yield chart.stem, figure
    _raise(refused)


def _text(tables: Tables, paper: Paper) -> str:
    """Return a text with all characters that stand on pages."""
    return f"{tables.config} {paper.title}"


def _raise(refused: Sequence[str]) -> None:
    """Raise NormbenchError with the sentences on pages that do not fit on the paper, if there are any."""
    if refused:
        raise NormbenchError("\n".join(dict.fromkeys(refused)))


def compute(
    tables: Tables,
    figures: Sequence[str] | None = None,
    *,
    x: str | None = None,
    color: Keys = None,
    panel: Keys = None,
    target: float | None = None,
    layer: str | None = None,
    quantities: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    rate: str | float | None = None,
    where: Sequence[str] = (),
    traces: bool = False,
) -> Iterator[tuple[FigureKind, Chart]]:
    """Yield each page of the figures as data, with the figure that draws it. Needs no matplotlib.

    Args:
        tables: the experiment.
        figures: their names; None: those that the experiment's axes make sense of.
        x: swept key, `seed`, `step` or `epoch` on the horizontal axis.
        color: swept keys that colors tell apart: a list, or text with commas.
        panel: swept keys that get panels of their own, likewise.
        target: accuracy of steps_to_target, above 0 and at most 1.
        layer: of layers.csv, for figures of one layer.
        quantities: of layers.csv, for figures of any quantity.
        steps: for figures of some steps; the nearest measured ones are taken.
        rate: `best` (each variant at its own best learning rate) or a swept learning rate: figures of curves
            draw all variants on the same axes.
        where: `KEY=VALUE` each: only runs that match are drawn; several values of a key are alternatives.
        traces: figures of curves draw the line of each seed, too.

    Raises:
        NormbenchError: a name is unknown, or a figure makes no sense of this experiment.
    """
    from normbench.plots.one_rate import swept_rate
    from normbench.plots.view import Request, known_key
    from normbench.plots.where import narrowed

    tables = narrowed(tables, where)
    kinds = choose(tables, figures, x, quantities)
    if rate is not None:
        rate = swept_rate(tables, rate)
        _refuse_unable(kinds, "rate", "cannot be drawn at one learning rate", lambda kind: kind.one_rate)
    if traces:
        _refuse_unable(kinds, "traces", "has no line for each seed", lambda kind: kind.traces)
    also = ("step", "epoch") if any(not kind.swept_x for kind in kinds) else ()
    request = Request(
        known_key(tables, x, "x", also) if x else None,
        _keys(tables, color, "color"),
        _keys(tables, panel, "panel"),
        target,
        layer,
        tuple(quantities or ()),
        tuple(steps or ()),
        rate,
        traces,
    )
    if target is not None and not 0 < target <= 1:
        raise NormbenchError(
            f"target: {target} is no accuracy; it must be above 0 and at most 1 (0.9 is 90 %)"
        )
    for kind in kinds:
        charts = kind.compute(tables, request)
        while charts:
            yield kind, charts.pop(0)


def _refuse_unable(
    kinds: Sequence[FigureKind], wish: str, lack: str, able: Callable[[type[FigureKind] | FigureKind], bool]
) -> None:
    """Raise NormbenchError if none of the figures reads a wish.

    Args:
        kinds: the figures.
        wish: the name of the option.
        lack: what they lack, as words.
        able: tells whether a figure reads it.
    """
    from normbench.plots.figures import FIGURES

    if not any(map(able, kinds)):
        names = [cls.key() for cls in FIGURES.classes() if able(cls)]
        raise NormbenchError(f"{wish}: {', '.join(kind.name for kind in kinds)} {lack}; {one_of(names)}")


def choose(
    tables: Tables,
    names: Sequence[str] | None = None,
    x: str | None = None,
    quantities: Sequence[str] | None = None,
) -> list[FigureKind]:
    """Return the figures to draw.

    Args:
        tables: the experiment.
        names: of the figures; None: those that make sense of the tables and of `x`.
        x: the wished horizontal axis.
        quantities: of layers.csv; figures of any quantity draw them even if they do not apply by themselves.

    Raises:
        NormbenchError: a name is unknown, or a figure makes no sense of this experiment.
    """
    from normbench.plots.figures import FIGURES
    from normbench.plots.probed import absent
    from normbench.plots.where import Narrowed

    if not names:
        by_step = x in ("step", "epoch")
        known = [cls() for cls in FIGURES.classes()]
        usual = [kind for kind in known if not kind.on_demand and (x is None or kind.swept_x != by_step)]
        if chosen := [kind for kind in usual if kind.applies(tables)]:
            return chosen
        raise NormbenchError(f"{tables.folder}: no figure makes sense of these tables; {one_of(FIGURES)}")
    kinds = [FIGURES[name]() for name in dict.fromkeys(names)]
    for kind in kinds:
        asked = bool(quantities) and kind.any_quantity and (bool(tables.varied) or not kind.swept_x)
        if asked or kind.applies(tables):
            continue
        if kind.probe:
            raise NormbenchError(f"figure: '{kind.name}': {absent(tables, kind.probe)}")
        drawable = [cls.key() for cls in FIGURES.classes() if cls().applies(tables)]
        raise NormbenchError(
            f"figure: '{kind.name}' ({kind.summary()}) makes no sense for the keys and curves of "
            f"{tables.folder}{' with this --where' * isinstance(tables, Narrowed)}; here: "
            f"{', '.join(drawable) or 'none'}"
        )
    return kinds


def _keys(tables: Tables, wish: Keys, role: str) -> tuple[str, ...] | None:
    from normbench.plots.view import known_key

    if wish is None:
        return None
    parts = wish.split(",") if isinstance(wish, str) else list(wish)
    return tuple(known_key(tables, part.strip(), role) for part in parts if part.strip())


def import_matplotlib() -> Any:
    """Import matplotlib, whatever backend MPLBACKEND names; the figures here are drawn into files without it.

    A notebook's terminal names a backend that other environments lack, and with it the import fails. A
    backend that is there is still the one of the caller's own figures.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    backend = os.environ.pop("MPLBACKEND", "")
    try:
        import matplotlib
    finally:
        if backend:
            os.environ["MPLBACKEND"] = backend
    if backend:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib


@contextmanager
def styled(text: str = "") -> Iterator[None]:
    """Set matplotlib's defaults, the house style and the user's matplotlibrc; restore the caller's settings.

    Args:
        text: whose characters the fonts have to have.
    """
    matplotlib = import_matplotlib()

    from normbench.plots.fonts import families
    from normbench.plots.style import RC, own_settings

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a title in another script
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, {**RC, **own_settings()}))
        matplotlib.rcParams["font.family"] = families(text)
        yield

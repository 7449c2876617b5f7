"""The figures, drawn from the CSV alone. To add one: write its file, add its `FIGURE` to the list below.

The registry is `all_figures()`; matplotlib is imported when it is first asked.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, cast

from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import FORMATS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from normbench.analysis.tables import Tables
    from normbench.plots.base import FigureKind

MODULES = (  # each file's FIGURES, in the order in which they are drawn
    "convergence",
    "rate",
    "largest_rate",
    "steps_to_target",
    "heatmap",
    "best_vs_equal",
    "gap",
    "claims",
    "montage",
    "percentiles",
    "landscape",
    "sharpness",
    "stable_rate",
    "v_norm",
    "layer_heatmap",
    "layers",
    "ridge",
    "against",
    "cost",
)
Keys = Union[str, Sequence[str], None]


def all_figures() -> dict[str, FigureKind]:
    """Return all figures by name."""
    kinds = (kind for name in MODULES for kind in import_module(f"normbench.plots.figures.{name}").FIGURES)
    return {kind.name: kind for kind in kinds}


def plot_results(
    folder: Path | str,
    figures: Sequence[str] | None = None,
    x: str | None = None,
    color: Keys = None,
    panel: Keys = None,
    formats: Sequence[str] = ("png", "svg"),
    target: float | None = None,
    out: Path | None = None,
    trains_below: float | None = None,
    layer: str | None = None,
    quantities: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
) -> list[Path]:
    """Draw one experiment's figures into `folder/plots/` (or `out`); return the files written.

    Without `figures`, those that the experiment's axes make sense of. `x`, `color` and `panel` are swept keys
    (`seed` too); `color` and `panel` take several, as a list or with commas. `layer`, `quantities` and
    `steps` choose what the figures of the probes show, by the names of layers.csv.
    """
    from normbench.analysis.tables import load_tables

    for name in formats:
        if name not in FORMATS:
            raise NormbenchError(
                f"format: '{name}' is unknown; {did_you_mean(name, FORMATS)}{one_of(FORMATS)}"
            )
    tables = load_tables(folder, trains_below)
    target_folder = Path(out) if out is not None else tables.folder / "plots"
    written: list[Path] = []
    for stem, figure in draw(tables, figures, x, color, panel, target, layer, quantities, steps):
        target_folder.mkdir(parents=True, exist_ok=True)
        written += [_save(figure, target_folder / f"{stem}.{name}") for name in formats]
    return written


def draw(
    tables: Tables,
    figures: Sequence[str] | None = None,
    x: str | None = None,
    color: Keys = None,
    panel: Keys = None,
    target: float | None = None,
    layer: str | None = None,
    quantities: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
) -> Iterator[tuple[str, Figure]]:
    """Yield (file stem, Figure) one after the other, so that only one figure is in memory."""
    from normbench.plots.base import Request, known_key

    kinds = choose(tables, figures, x, quantities)
    also = ("step", "epoch") if any(not k.swept_x for k in kinds) else ()
    request = Request(
        known_key(tables, x, "x", also) if x else None,
        _keys(tables, color, "color"),
        _keys(tables, panel, "panel"),
        target,
        layer,
        tuple(quantities or ()),
        tuple(steps or ()),
    )
    if target is not None and not 0 < target <= 1:
        raise NormbenchError(
            f"target: {target} is no accuracy; it must be above 0 and at most 1 (0.9 is 90 %)"
        )
    for kind in kinds:
        with _style():
            pages = kind.draw(tables, request)
        while pages:
            stem = next(iter(pages))
            yield stem, pages.pop(stem)


def choose(
    tables: Tables,
    names: Sequence[str] | None = None,
    x: str | None = None,
    quantities: Sequence[str] | None = None,
) -> list[FigureKind]:
    """Return the named figures, or those that the tables (and the wished axis) make sense of."""
    from normbench.plots.probed import absent

    known = all_figures()
    if names:
        for name in names:
            if name not in known:
                raise NormbenchError(
                    f"figure: '{name}' is unknown; {did_you_mean(name, known)}{one_of(known)}"
                )
            kind = known[name]
            named = bool(quantities) and kind.any_quantity and (bool(tables.varied) or not kind.swept_x)
            if not named and not kind.applies(tables):
                if kind.probe:
                    raise NormbenchError(f"figure: '{name}': {absent(tables, kind.probe)}")
                drawable = [k for k, kind in known.items() if kind.applies(tables)]
                raise NormbenchError(
                    f"figure: '{name}' ({kind.summary}) makes no sense for the keys and curves of "
                    f"{tables.folder}; here: {', '.join(drawable) or 'none'}"
                )
        return [known[name] for name in dict.fromkeys(names)]
    step = x in ("step", "epoch")
    chosen = [
        k
        for k in known.values()
        if k.applies(tables) and not k.on_demand and (x is None or k.swept_x != step)
    ]
    if not chosen:
        raise NormbenchError(f"{tables.folder}: no figure makes sense of these tables; {one_of(known)}")
    return chosen


def _keys(tables: Tables, wish: Keys, role: str) -> tuple[str, ...] | None:
    from normbench.plots.base import known_key

    if wish is None:
        return None
    parts = wish.split(",") if isinstance(wish, str) else list(wish)
    return tuple(known_key(tables, part.strip(), role) for part in parts if part.strip())


@contextmanager
def _style() -> Iterator[None]:
    """Set matplotlib's defaults and the house style, and leave the caller's settings as they were."""
    import matplotlib

    from normbench.plots.style import RC

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a title in another script
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, RC))
        yield


def _save(figure: Figure, path: Path) -> Path:
    """Write under another name first: whoever looks while a sweep is drawn again sees a whole file."""
    kind = path.suffix[1:]
    metadata: dict[str, None] = {
        "png": {"Software": None},
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
    }[kind]
    partial = path.with_name(f".{path.name}.part")
    with _style():
        figure.savefig(partial, format=kind, dpi=150, metadata=metadata)
    os.replace(partial, path)
    return path

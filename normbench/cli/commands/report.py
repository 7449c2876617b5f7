"""`normbench report`: write experiments as one HTML page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli.options import Plugins
from normbench.cli.output import say
from normbench.cli.plugins import load_named
from normbench.errors import NormbenchError
from normbench.paths import expanded

FIRST_LINE, NEXT_LINE = 2.0, 10.0  # seconds before anything is said of the progress, and between lines


def report(
    results: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="RESULTS...", help="Experiments' folders, or folders of them. Default: results."
        ),
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The page. Default: report.html in RESULTS; in this folder for several RESULTS.",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Write the page again while a sweep trains; the open page loads itself again."
        ),
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Write experiments as one HTML page that works offline: verdicts, summary, claims, figures, all runs.

    Several experiments, or a folder of them, make a book with contents. Works while a sweep trains.

    \b
    Example:  normbench report results/quickstart --open
    """
    from normbench.report import target
    from normbench.report.page import Page

    load_named(plugin)
    places = [expanded(one, "results") for one in results or [Path("results")]]
    folders = _experiments(places)
    path = target(expanded(out, "-o") if out is not None else None, places)
    if watch:
        _watch(lambda: _experiments(places), path, open_)
        folders = _experiments(places)
    page = Page(folders, say=_progress(quiet=watch or len(folders) < 2))
    if len(page.problems) == len(page.chapters):
        raise NormbenchError("\n".join(page.problems))
    page.write(path)
    if open_ and not watch:
        _show(path)
    typer.echo(str(path))
    if page.problems:
        raise NormbenchError("\n".join(page.problems))


def _watch(folders: Callable[[], Sequence[Path]], path: Path, open_: bool) -> None:
    """Write the page while a sweep trains, until it ends or until Ctrl-C."""
    from normbench.report.page import Page
    from normbench.report.watch import changes

    opened = False
    try:
        for found in changes(folders):
            Page(found, live=True).write(path)
            if not opened:
                opened = True
                say(f"{path} is written again while a sweep trains; Ctrl-C ends this, not the sweep")
                if open_:
                    _show(path)
    except KeyboardInterrupt:
        say("no longer watched; the page is written once more")


def _experiments(places: Sequence[Path]) -> list[Path]:
    from normbench.records import experiments_in

    return list(dict.fromkeys(folder for place in places for folder in experiments_in(place)))


def _progress(quiet: bool) -> Callable[[int, int, str], None]:
    """Return what says how many experiments are drawn: nothing of short work."""
    next_line = time.monotonic() + FIRST_LINE

    def progress(done: int, total: int, name: str) -> None:
        nonlocal next_line
        now = time.monotonic()
        if not quiet and now >= next_line:
            say(f"{done:,} of {total:,} experiments drawn; next: {name}")
            next_line = now + NEXT_LINE

    return progress


def _show(path: Path) -> None:
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        say(f"no browser was found; open {path} yourself")

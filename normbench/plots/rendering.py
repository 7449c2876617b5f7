"""Pages as files: drawn by this process, or by this one and a helper.

The helper is a new Python. It is given pages as data and returns the bytes of their files. A page that it
cannot draw, for whatever reason, is drawn by the process that asked. So the files are the same without it.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Union

from normbench.cores import available_cores
from normbench.errors import NormbenchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from normbench.plots.chart import Chart
    from normbench.plots.kind import FigureKind
    from normbench.plots.paper import Paper

LARGE = 2 << 20  # bytes of records; fewer are drawn before a second Python has imported matplotlib
# Without times and versions, so that the same page has the same bytes.
_METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


@dataclass(frozen=True)
class Page:
    """A page to draw. `text`: whose characters the fonts must have."""

    kind: FigureKind
    chart: Chart
    paper: Paper
    text: str
    formats: Sequence[str]

    def files(self) -> Drawn:
        """Return the bytes of each format's file, or why the page cannot be drawn."""
        from normbench.plots import import_matplotlib, styled

        import_matplotlib()
        from normbench.plots.page import draw_page

        with _without_collection():
            try:
                with styled(self.text):
                    figure = draw_page(self.kind, self.chart, self.paper)
            except NormbenchError as error:
                return str(error)
            with styled():
                return {name: _saved(figure, name) for name in self.formats}


Drawn = Union[dict[str, bytes], str]  # a file for each format, or a sentence


def _saved(figure: Figure, name: str) -> bytes:
    """Return a figure as the bytes of a file of this format."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if not axis.get_label_text():
                axis.set_label_coords(0.5, 0.5)  # otherwise all ticks are measured for the place of no text
    data = BytesIO()
    figure.savefig(data, format=name, dpi=150, metadata=_METADATA[name])
    return data.getvalue()


@contextmanager
def _without_collection() -> Iterator[None]:
    """Let Python look for garbage after a page, not while it makes the hundred thousand objects of it."""
    active = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if active:
            gc.enable()


def drawn(pages: Iterable[Page], helper: Helper | None = None) -> Iterator[tuple[Page, Drawn]]:
    """Yield each page with its files, in the order of the pages.

    An error in computing a page is raised after the pages before it.
    """
    if helper is None or not helper.works:
        for page in pages:
            yield page, page.files()
        return
    work = _Work(helper)
    try:
        yield from work.done(pages)
    finally:
        work.stop()


class Helper:
    """A second process that draws pages, to be closed in the end. It imports matplotlib when it starts.

    Attributes:
        works: whether it can draw.
    """

    def __init__(self) -> None:
        code = (
            "import signal, sys\n"
            "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"  # Ctrl-C ends it without a word
            f"sys.path = {sys.path!r}\n"
            "from normbench.plots.rendering import serve\n"
            "serve()\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        with suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        self.works = self._process is not None

    def files(self, page: Page) -> Drawn | None:
        """Return what `page.files` returns, None if the process cannot draw the page."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            data = pickle.dumps(page)
        except Exception:  # a class of the user without a name to import it by
            return None
        try:
            process.stdin.write(len(data).to_bytes(8, "little") + data)
            process.stdin.flush()
            found: Drawn | None = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):  # it has ended
            self.works = False
            return None
        return found

    def close(self) -> None:
        """End the process."""
        self.works = False
        if self._process is not None:
            self._process.kill()
            with suppress(OSError), self._process:  # closes its pipes and waits
                pass


@contextmanager
def helping(folders: Iterable[Path], figures: Sequence[str] | None = None) -> Iterator[Helper | None]:
    """Start a helper if there is a core for it and enough to draw, else give None; end it after the block.

    Args:
        folders: of the experiments.
        figures: those that are asked for; None: all.
    """
    names = ("runs.csv", "metrics.csv", "layers.csv")
    size = sum(_size(folder / name) for folder in folders for name in names)
    if available_cores() < 2 or (figures is not None and len(figures) < 2) or size < LARGE:
        yield None
        return
    helper = Helper()
    try:
        yield helper
    finally:
        helper.close()


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 if there is none to look at."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class _Work:
    """The pages of one experiment, divided between this process and the helper.

    Both take the page with the most panels that is left, so that they end at nearly the same time.
    """

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._pages: list[Page] = []
        self._found: dict[int, Drawn] = {}
        self._left: set[int] = set()
        self._refused: set[int] = set()  # by the helper
        self._complete = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._help, name="normbench pages", daemon=True)

    def done(self, pages: Iterable[Page]) -> Iterator[tuple[Page, Drawn]]:
        """Yield each page with its files."""
        self._thread.start()
        error: Exception | None = None
        try:
            for page in pages:
                with self._change:
                    self._left.add(len(self._pages))
                    self._pages.append(page)
                    self._change.notify_all()
        except Exception as raised:  # the pages before it are drawn all the same
            error = raised
        shown = 0
        while shown < len(self._pages):
            number = self._take()
            if number is not None:
                self._found[number] = self._pages[number].files()
            else:
                self._wait(shown)
            while shown in self._found:
                yield self._pages[shown], self._found.pop(shown)
                shown += 1
        if error is not None:
            raise error

    def stop(self) -> None:
        """Wait for the page that the helper draws."""
        with self._change:
            self._left.clear()
            self._complete = True
            self._change.notify_all()
        self._thread.join()

    def _take(self, helping: bool = False) -> int | None:
        """Return the page with the most panels that is left and take it away, None if there is none."""
        with self._change:
            numbers = self._left if helping else self._left | self._refused
            if not numbers:
                return None
            number = max(numbers, key=lambda number: (len(self._pages[number].chart.grid.places), -number))
            self._left.discard(number)
            self._refused.discard(number)
            return number

    def _wait(self, number: int) -> None:
        """Wait until the helper has drawn a page, or has refused one."""
        with self._change:
            self._change.wait_for(lambda: number in self._found or self._refused)

    def _help(self) -> None:
        """Give pages to the helper until all are drawn."""
        while self._helper.works:
            with self._change:
                self._change.wait_for(lambda: self._left or self._complete)
                number = self._take(helping=True)
            if number is None:
                return
            found = None
            try:
                found = self._helper.files(self._pages[number])
            finally:
                with self._change:
                    if found is None:
                        self._refused.add(number)
                    else:
                        self._found[number] = found
                    self._change.notify_all()


def serve() -> None:
    """Draw the pages that come through standard input until it ends: the work of the helper."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    from normbench.plots import import_matplotlib

    import_matplotlib()
    import normbench.plots.figures
    import normbench.plots.page  # noqa: F401

    pages = sys.stdin.buffer
    while len(size := pages.read(8)) == 8:
        found = _answer(pages.read(int.from_bytes(size, "little")))
        try:
            pickle.dump(found, answers)
            answers.flush()
        except OSError:  # the other process has ended
            return


def _answer(data: bytes) -> Drawn | None:
    """Return the files of a page, None if it cannot be drawn here."""
    try:
        page: Page = pickle.loads(data)
        return page.files()
    except Exception:  # the other process draws this page, and says what is wrong
        return None

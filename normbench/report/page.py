"""The page: all chapters through one template, with its style and script inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from normbench._version import __version__
from normbench.errors import NormbenchError
from normbench.records.files import write_file
from normbench.report.chapter import Chapter, anchors, chapter

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).parent / "templates"
MOST_BYTES = 2_000_000  # of a page for up to USUAL_RUNS runs
USUAL_RUNS = 2_000
MORE_BYTES = 1_500  # for each run beyond
RELOAD = 5  # seconds after which a page of a training sweep loads itself again


class Page:
    """One HTML page of some experiments; several make a book with contents.

    Attributes:
        chapters: one for each experiment.
        html: the whole page.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        live: bool = False,
        say: Callable[[int, int, str], None] = lambda done, total, name: None,
    ) -> None:
        """Read the records and make the page.

        Args:
            folders: of the experiments.
            live: whether the page loads itself again every few seconds.
            say: is told how many experiments are done, of how many, and the name of the next one.
        """
        from normbench.report.shared import Shared

        shared = Shared()
        self.chapters: list[Chapter] = []
        for i, (folder, anchor) in enumerate(zip(folders, anchors(folders), strict=True)):
            say(i, len(folders), folder.name)
            self.chapters.append(chapter(folder, anchor, shared))
        self.html = _fitted(self.chapters, shared, live)

    @property
    def problems(self) -> list[str]:
        """Return a sentence for each experiment that cannot be read."""
        return [one.problem for one in self.chapters if one.problem]

    def write(self, path: Path) -> None:
        """Write the page; a reader sees the old one or the new one.

        Raises:
            NormbenchError: it cannot be written.
        """
        try:
            write_file(path, self.html.encode("utf-8", "replace"))
        except (OSError, NormbenchError) as error:
            cause = error.__cause__ if isinstance(error, NormbenchError) else error
            why = cause.strerror if isinstance(cause, OSError) else error
            raise NormbenchError(
                f"-o {path}: cannot be written: {why}; name another file: -o FILE"
            ) from error


def most_bytes(runs: int) -> int:
    """Return the most bytes of a page with this number of runs."""
    return MOST_BYTES + MORE_BYTES * max(0, runs - USUAL_RUNS)


def _fitted(chapters: Sequence[Chapter], shared: Any, live: bool) -> str:
    """Return the page; while it is too large, its largest figures lose detail."""
    from normbench.report.figure import fit

    pictures = [picture for one in chapters for picture in one.pictures]
    most = most_bytes(sum(one.runs for one in chapters))
    room = float(most)
    while True:
        text = _render(chapters, shared, live)
        size = len(text.encode("utf-8"))
        drawn = sum(picture.size for picture in pictures)
        if size <= most or not drawn:
            return text
        room = min(room, drawn) - (size - most) - 2_000
        fit(pictures, max(room, 0.0))


def _render(chapters: Sequence[Chapter], shared: Any, live: bool) -> str:
    from normbench.report.chapter import VERDICTS
    from normbench.report.claims import primaries

    book = len(chapters) > 1
    first = primaries([(one.anchor, one.cards) for one in chapters]) if book else []
    words = [one.word for one in first]
    template = environment().get_template("page.html")
    count = {word: sum(n for one in chapters for w, n in one.counts if w == word) for word in VERDICTS}
    title = chapters[0].title if len(chapters) == 1 else f"{len(chapters)} experiments"
    # The legends name colors and marks, which the page defines before them.
    legends = {id(picture): picture.legends() for one in chapters for picture in one.pictures}
    return template.render(
        chapters=chapters,
        book=book,
        primaries=first,
        decided=[(word, words.count(word)) for word in VERDICTS if word in words],
        title=title,
        counts=[(word, n) for word, n in count.items() if n],
        legends=legends,
        shared=shared,
        live=RELOAD if live else 0,
        version=__version__,
    )


@cache
def environment(folder: Path = FOLDER) -> Environment:
    """Return the templates of a folder, with the head, style and script of all pages. Output is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader([folder, FOLDER]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    templates.globals["identity"] = id
    templates.filters["breakable"] = lambda text: escape(text).replace("_", Markup("_<wbr>"))
    for name, file in (("style", "style.css"), ("script", "script.js")):
        templates.globals[name] = Markup((FOLDER / file).read_text(encoding="utf-8"))
    return templates

"""The progress of a training in a notebook: one line of text that is brought up to date."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from normbench.counts import counted
from normbench.launch.reporter import FROM_SHARE, Reporter

REDRAW = 0.5  # seconds between two updates of the line


def reporter_here() -> Reporter:
    """Return the reporter for this process: a line that is updated in a notebook, otherwise a silent one."""
    display = _display()
    return Reporter() if display is None else NotebookReporter(display)


def _display() -> Callable[..., Any] | None:
    """Return IPython's `display` if this process is the kernel of a notebook."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    return display  # type: ignore[no-any-return]


class NotebookReporter(Reporter):
    """Shows percent, time spent and time left in one line, and sentences above it.

    Args:
        display: IPython's function of that name.
        clock: returns seconds.
    """

    def __init__(self, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._display, self._clock = display, clock
        self._handle: Any = None
        self._total = self._done = 0
        self._skipped = 0
        self._began = self._shown = 0.0
        self._text = ""

    def checking(self, done: int, total: int) -> None:
        """Say how far the check of plug-ins is."""
        self._show(f"checking own code against plain torch: {done:,} of {total:,} nets", last=done == total)

    def start(self, run_steps: int, runs: int) -> None:
        """Begin a line."""
        self._total, self._done = run_steps, 0
        self._began, self._text = self._clock(), counted(runs, "run")
        self._shown = 0.0
        self._progress()

    def stack(self, text: str) -> None:
        """Name the stack in the line."""
        self._text = text
        self._progress()

    def advance(self, run_steps: int) -> None:
        """Count the steps."""
        self._done += run_steps
        self._progress()

    def skip(self, run_steps: int) -> None:
        """Expect fewer steps."""
        self._total -= run_steps

    def message(self, text: str) -> None:
        """Show a sentence in a line of its own."""
        self._display(_Line(text))

    def finish(self) -> None:
        """Write the last state of the line."""
        self._progress(last=True)
        self._handle = None

    def _progress(self, last: bool = False) -> None:
        spent = self._clock() - self._began
        share = min(1.0, self._done / self._total) if self._total > 0 else 1.0
        left = f", about {spent / share - spent:,.0f} s left" if FROM_SHARE <= share < 1 else ""
        self._show(f"{100 * share:.0f} % after {spent:,.0f} s{left}; {self._text}", last)

    def _show(self, text: str, last: bool = False) -> None:
        now = self._clock()
        if self._handle is None:
            self._handle = self._display(_Line(text), display_id=True)
        elif last or now - self._shown >= REDRAW:
            self._handle.update(_Line(text))
        else:
            return
        self._shown = now


class _Line:
    """A line of plain text, which a notebook shows without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

"""Shows the progress of the training: a bar in a terminal, otherwise a line now and then."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from normbench.cli.output import duration
from normbench.counts import counted
from normbench.launch.reporter import FROM_SHARE, Reporter

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

FIRST_LINE = 10.0  # seconds until the first line, and between the first ones
LAST_LINE = 60.0  # seconds between lines of a long training
GROWTH = 1.3  # each pause between lines is this many times the one before
REDRAW = 0.1  # seconds between two updates of the bar
PATIENCE = 2.0  # seconds of a check of plug-ins before anything is said of it


def reporter_for(stream: TextIO | None = None) -> Reporter:
    """Return the reporter that suits the stream (default: stderr): a bar in a terminal, otherwise lines."""
    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get("TERM") != "dumb":
        return BarReporter(stream)
    return LineReporter(stream)


def check_text(done: int, total: int) -> str:
    """Return what is said while plug-ins are checked."""
    return f"checking plug-ins against plain torch: {done:,} of {total:,} nets"


class Patience:
    """Tells when a check of plug-ins has taken so long that people wonder."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.begun: float | None = None
        self.said = False

    def over(self, done: int, total: int) -> bool:
        """Return whether it is time to say how far the check is; begins to count at 0 done."""
        if done == 0 or self.begun is None:
            self.begun, self.said = self.clock(), False
        return done < total and self.clock() - self.begun >= PATIENCE


class LineReporter(Reporter):
    """Writes a line with percent and time left every 10 s, growing to every 60 s."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.total = self.done = 0
        self.text = ""
        self.begun = self.next_line = clock()
        self.pause = FIRST_LINE
        self.check = Patience(clock)

    def checking(self, done: int, total: int) -> None:
        """Write one line if the check takes long."""
        if self.check.over(done, total) and not self.check.said:
            self.check.said = True
            self._line(check_text(done, total))

    def start(self, run_steps: int, runs: int) -> None:
        """Write the number of runs and steps."""
        self.total, self.done = run_steps, 0
        self.begun, self.pause = self.clock(), FIRST_LINE
        self.next_line = self.begun + self.pause
        self._line(f"training {counted(runs, 'run')}, {counted(run_steps, 'step')} in all")

    def stack(self, text: str) -> None:
        """Keep the name of the stack for the next line."""
        self.text = text

    def advance(self, run_steps: int) -> None:
        """Count the steps; write a line when it is time."""
        self.done += run_steps
        now = self.clock()
        if now < self.next_line or self.done >= self.total:
            return
        self.pause = min(self.pause * GROWTH, LAST_LINE)
        self.next_line = now + self.pause
        spent = now - self.begun
        share = self.done / self.total
        left = spent / share - spent if share >= FROM_SHARE else None
        self._line(
            f"{100 * share:.0f} % after {times_text(spent, left)}" + (f"; {self.text}" if self.text else "")
        )

    def skip(self, run_steps: int) -> None:
        """Expect fewer steps."""
        self.total -= run_steps

    def message(self, text: str) -> None:
        """Write the sentence."""
        self._line(text)

    def finish(self) -> None:
        """Write the share that was trained, and the time."""
        if self.total:
            share = 100 * min(self.done / self.total, 1.0)
            self._line(f"{share:.0f} % of the training in {duration(self.clock() - self.begun)}")
        self.total = 0

    def _line(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


def times_text(spent: float, left: float | None) -> str:
    """Return `12 s, about 40 s left`; the time spent alone where what is left is not known, or nothing is."""
    return f"{duration(spent)}, about {duration(left)} left" if left else duration(spent)


class BarReporter(Reporter):
    """Draws one bar over all steps of all runs, with the stack in training, time spent and time left."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream = stream
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.waiting = 0  # steps that the bar does not show yet: a redraw costs more than a small step
        self.shown = 0.0
        self.check = Patience(clock)

    def checking(self, done: int, total: int) -> None:
        """Keep one line up to date if the check takes long; remove it at the end."""
        text = check_text(done, total) if self.check.over(done, total) else ""
        if text or self.check.said:
            print(f"\r\x1b[K{text}", end="", file=self.stream, flush=True)
            self.check.said = bool(text)

    def start(self, run_steps: int, runs: int) -> None:
        """Draw the empty bar."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
        from rich.text import Text

        class Times(ProgressColumn):
            """Shows `12 s, about 40 s left`."""

            def render(self, task: Task) -> Text:
                """Return the time spent, and the time left while there is some."""
                early = task.percentage < 100 * FROM_SHARE
                left = None if early else task.time_remaining
                return Text(times_text(task.finished_time or task.elapsed or 0.0, left))

        self.bar = Progress(
            TextColumn("{task.percentage:>3.0f} %"),
            BarColumn(bar_width=30),
            Times(),
            TextColumn("{task.description}", markup=False),
            console=Console(file=self.stream),
            speed_estimate_period=120,
        )
        self.task = self.bar.add_task(counted(runs, "run"), total=run_steps)
        self.waiting, self.shown = 0, time.monotonic()
        self.bar.start()

    def stack(self, text: str) -> None:
        """Name the stack beside the bar."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, description=text)

    def advance(self, run_steps: int) -> None:
        """Move the bar."""
        self.waiting += run_steps
        now = time.monotonic()
        if self.bar is not None and self.task is not None and now - self.shown >= REDRAW:
            self.bar.advance(self.task, self.waiting)
            self.waiting, self.shown = 0, now

    def skip(self, run_steps: int) -> None:
        """Expect fewer steps."""
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, total=(self.bar.tasks[0].total or 0) - run_steps)

    def message(self, text: str) -> None:
        """Write the sentence above the bar."""
        if self.bar is not None:
            self.bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self.stream, flush=True)

    def finish(self) -> None:
        """Leave the bar as it is, and end it."""
        if self.bar is not None and self.task is not None:
            self.bar.advance(self.task, self.waiting)
            self.bar.stop()
        self.bar = self.task = None

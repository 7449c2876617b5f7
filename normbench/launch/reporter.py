"""Who is told how far the training is; the base class says nothing, the command line shows a bar or lines."""

from __future__ import annotations


class Reporter:
    """Hears of the progress of a launch. One unit of progress is one step of one run."""

    def start(self, run_steps: int, runs: int) -> None:
        """Training begins: so many steps of so many runs in all."""

    def stack(self, text: str) -> None:
        """A stack begins; the text names it for people."""

    def advance(self, run_steps: int) -> None:
        """So many steps of runs are done, or are not needed since their runs diverged."""

    def skip(self, run_steps: int) -> None:
        """So many steps need not be made: an earlier session made them, and they say nothing of the speed."""

    def message(self, text: str) -> None:
        """Say a sentence to the user, above the progress."""

    def finish(self) -> None:
        """Training is over, whether done or interrupted."""

"""Who hears about the progress of training; the base class is silent, the command line shows a bar."""

from __future__ import annotations

FROM_SHARE = 0.05  # of the training that must be done before the time left is worth showing


class Reporter:
    """Hears about the progress of a session. The unit of progress is one step of one run."""

    def checking(self, done: int, total: int) -> None:
        """Report how many nets with plug-ins have been compared with plain torch, and of how many."""

    def start(self, run_steps: int, runs: int) -> None:
        """Training begins, with this many steps of all runs together."""

    def stack(self, text: str) -> None:
        """A stack begins; the text is its name for people."""

    def advance(self, run_steps: int) -> None:
        """These steps were made, or are not needed because their runs diverged."""

    def skip(self, run_steps: int) -> None:
        """An earlier session made these steps; they say nothing about the speed."""

    def message(self, text: str) -> None:
        """Show a sentence to the user, above the progress."""

    def finish(self) -> None:
        """Training is over, either done or interrupted."""

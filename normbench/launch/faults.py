"""What crashes tell the user: the exception, the line of the plug-in that raised it, and what to try."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from normbench.plugins import blame

LONGEST = 300  # characters of an exception in a sentence
MOST = 3  # sentences about different faults of a session


@dataclass(frozen=True)
class Fault:
    """An exception as users meet it. Crashes of one fault are equal.

    Attributes:
        error: its type and text on one line, with file and line if a plug-in is involved.
        memory: whether memory ran out.
    """

    error: str
    memory: bool = False

    @classmethod
    def of(cls, error: Exception) -> Fault:
        """Return what an exception, or the one that caused it, tells."""
        found = (blame(one) for one in _causes(error))
        text = next((text for text in found if text), None) or f"{type(error).__name__}: {error}"
        memory = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
        return cls(_on_one_line(text), memory)


def _causes(error: BaseException | None) -> Iterator[Exception]:
    """Yield an exception and what caused it."""
    while isinstance(error, Exception):
        yield error
        error = error.__cause__


def _on_one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


@dataclass
class Group:
    """The runs that one fault ended."""

    runs: list[str] = field(default_factory=list)
    vectorized: bool = False  # whether any of them was
    traceback: str = ""


@dataclass
class Faults:
    """The faults of a session, each with its runs.

    Attributes:
        crashed: by fault.
        diverged: the exceptions by which runs diverged, by their type.
    """

    crashed: dict[Fault, Group] = field(default_factory=dict)
    diverged: dict[str, list[str]] = field(default_factory=dict)

    def crash(self, run_id: str, fault: Fault, traceback: str, vectorized: bool) -> str:
        """Note a run that crashed.

        Args:
            run_id: of the run.
            fault: that ended it.
            traceback: of the exception.
            vectorized: whether the run was mapped with others.

        Returns:
            The text for the run's file in crashes/, which refers to the file of an equal crash before it.
        """
        group = self.crashed.setdefault(fault, Group(traceback=traceback))
        group.vectorized |= vectorized
        group.runs.append(run_id)
        if len(group.runs) == 1 or traceback != group.traceback:
            return traceback
        return f"{fault.error}\nThe traceback is the same as that in {group.runs[0]}.txt\n"

    def divergence(self, error: str) -> None:
        """Note a run that diverged by raising an exception."""
        self.diverged.setdefault(error.partition(":")[0], []).append(error)

    def sentences(self) -> Iterator[str]:
        """Yield what the user is told at the end of a session, a sentence or two for each fault."""
        for errors in list(self.diverged.values())[:MOST]:
            yield f"{_runs(errors)} diverged: a step raised on numbers that had grown too large: {errors[0]}"
        for fault, group in list(self.crashed.items())[:MOST]:
            where = f"the traceback is in crashes/{group.runs[0]}.txt"
            yield f"{_runs(group.runs)} crashed: {fault.error}; {where}{_advice(fault, group)}"
        left = len(self.crashed) - MOST
        if left > 0:
            yield f"{left} more kinds of crashes: see the files in crashes/"


def _runs(runs: list[str]) -> str:
    return f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"


def _advice(fault: Fault, group: Group) -> str:
    """Return what to try; empty if nothing is known to help."""
    if fault.memory:
        return "; one run alone needs more memory than there is: use a smaller net or batch"
    if group.vectorized:
        return "; if the code cannot be mapped over runs, try --executor looped --retry crashed"
    return ""

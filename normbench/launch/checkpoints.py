"""When the checkpoints of a results folder are written, and where: `checkpoints/<stack>.pt`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from pathlib import Path

import torch

from normbench.engine.checkpoint import UnfitError, dump_state, load_state
from normbench.engine.state import StackState
from normbench.plan import Stack
from normbench.records import ResultsFolder, StackWriter
from normbench.records.files import explained, remove, write_file

FOLDER = "checkpoints"
EVERY = 60.0  # seconds between checkpoints, unless the user says otherwise
COST = 50  # by default, at least so many times the cost of the last one lies between two: less than 2 %


class Checkpoints:
    """Writes a stack's state now and then, and finds it again.

    Args:
        folder: the results folder, open.
        every: seconds between two checkpoints; None for the default, which also heeds what they cost.
    """

    def __init__(
        self, folder: ResultsFolder, every: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.root, self.clock = folder, folder.root / FOLDER, clock
        self.every = EVERY if every is None else every
        self.least = COST if every is None else 0
        self.cost = 0.0
        self.last = clock()

    def begin(self) -> None:
        """Start the clock: a stack begins."""
        self.last = self.clock()

    def due(self) -> bool:
        """Say whether it is time to write one."""
        return self.clock() - self.last >= max(self.every, self.least * self.cost)

    def save(self, stack: Stack, state: StackState, writer: StackWriter) -> None:
        """Put the stack's rows and then its state on disk."""
        began = self.clock()
        state.lengths = writer.length()
        with explained(self.root, "written"):
            self.root.mkdir(exist_ok=True)
        write_file(self._path(stack.stack_id), dump_state(state, _ids(stack), stack.executor))
        self.last = self.clock()
        self.cost = self.last - began

    def load(self, stack: Stack, device: str) -> tuple[StackState | None, str]:
        """Return what the stack goes on from; None, perhaps with the reason, if it has to begin anew."""
        try:
            data = self._path(stack.stack_id).read_bytes()
            state = load_state(data, _ids(stack), stack.executor, torch.device(device))
        except FileNotFoundError:
            return None, ""
        except (OSError, UnfitError) as error:
            return None, str(error)
        if not self.folder.can_go_on(stack.stack_id, state.lengths):
            return None, "the rows that were measured before it are no longer there"
        return state, ""

    def remove(self, stack_id: str) -> None:
        """Remove a stack's checkpoint, and the folder with the last one."""
        remove(self._path(stack_id))
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def keep_only(self, stack_ids: Collection[str]) -> None:
        """Remove what is of no use any more: stacks that are done, files that were not finished."""
        if self.root.is_dir():
            for path in list(self.root.iterdir()):
                if path.suffix != ".pt" or path.stem not in stack_ids:
                    remove(path)
            with contextlib.suppress(OSError):
                self.root.rmdir()

    def _path(self, stack_id: str) -> Path:
        return self.root / f"{stack_id}.pt"


def _ids(stack: Stack) -> list[str]:
    return [run.run_id for run in stack.runs]

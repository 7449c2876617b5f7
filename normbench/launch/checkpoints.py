"""When checkpoints are made, and where they are: `checkpoints/<stack>.pt` in the results folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import torch

from normbench.engine.checkpoint import UnfitError, load_state, seal
from normbench.engine.state import StackState
from normbench.planning.runs import Stack
from normbench.records import ResultsFolder, StackWriter
from normbench.records.files import TEMPORARY, own_folder, refuse_link, remove, write_file
from normbench.records.parts import STACK_ID

FOLDER = "checkpoints"
EVERY = 60.0  # seconds between checkpoints, unless the user gives another time
COST = 50  # by default, at least this many times the cost of the last one lies between two: less than 2 %


class Schedule:
    """Tells when a checkpoint is due.

    Args:
        every: seconds between two; None for the default, which also depends on what they cost.
        clock: returns seconds.
    """

    def __init__(self, every: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.every = EVERY if every is None else every
        self.least = COST if every is None else 0
        self.cost = 0.0
        self.last = clock()

    def due(self) -> bool:
        """Return whether it is time to make one."""
        return self.clock() - self.last >= max(self.every, self.least * self.cost)

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Measure the block that makes one."""
        began = self.clock()
        yield
        self.last = self.clock()
        self.cost = self.last - began


class Checkpoints:
    """The checkpoints in an open results folder; `every` as for `Schedule`."""

    def __init__(self, folder: ResultsFolder, every: float | None) -> None:
        self.folder, self.root, self.every = folder, folder.root / FOLDER, every

    def save(self, stack: Stack, state: bytes, writer: StackWriter) -> None:
        """Put the rows of a stack on disk, then its state (`engine.checkpoint.dump_state`)."""
        lengths = writer.length()
        self.folder.check()
        own_folder(self.root)
        write_file(self._path(stack.stack_id), seal(state, lengths))

    def load(self, stack: Stack, device: str, *, onto: str | None = None) -> tuple[StackState | None, str]:
        """Return the state that a stack continues from.

        Args:
            stack: to train.
            device: that trains it.
            onto: the device to load to, by default the same.

        Returns:
            The state and an empty text; or None and the reason why its checkpoint cannot be used, empty if
            there is no checkpoint.
        """
        run_ids = [run.run_id for run in stack.runs]
        try:
            state = load_state(self.read(stack), run_ids, stack.executor, torch.device(device), onto=onto)
        except FileNotFoundError:
            return None, ""
        except (OSError, UnfitError) as error:
            return None, str(error)
        if not self.folder.can_go_on(stack.stack_id, state.lengths):
            return None, "the rows measured before it are no longer there"
        return state, ""

    def read(self, stack: Stack) -> bytes:
        """Return a stack's checkpoint as it is on disk."""
        return self._path(stack.stack_id).read_bytes()

    def remove(self, stack_id: str) -> None:
        """Remove a stack's checkpoint, and the folder together with the last one."""
        self.folder.check()
        refuse_link(self.root)
        remove(self._path(stack_id))
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def keep_only(self, stack_ids: Collection[str]) -> None:
        """Remove the checkpoints of other stacks, and files that were not completed; no other files."""
        self.folder.check()
        refuse_link(self.root)
        if self.root.is_dir():
            for path in list(self.root.iterdir()):
                name = path.name.removesuffix(TEMPORARY)
                is_ours = name.endswith(".pt") and STACK_ID.fullmatch(name.removesuffix(".pt"))
                if is_ours and (name != path.name or path.stem not in stack_ids):
                    remove(path)
            with contextlib.suppress(OSError):
                self.root.rmdir()

    def _path(self, stack_id: str) -> Path:
        return self.root / f"{stack_id}.pt"

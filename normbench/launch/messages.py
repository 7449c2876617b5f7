"""What a launcher gives to the trainer of a stack, and what the trainer tells it.

All are plain data that can be pickled, so that the trainer may be another process or another machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from normbench.engine.events import Event
from normbench.launch.faults import Fault
from normbench.planning.runs import Stack
from normbench.probes import Probe


@dataclass(frozen=True)
class Assignment:
    """A stack to train, with everything that its trainer needs.

    Attributes:
        stack: the runs and their executor.
        checkpoint: to continue from, as it is on disk; None to start from step 0.
        data_dir: folder of the data sets.
        device: that trains.
        probes: of the experiment.
        checkpoint_every: seconds between checkpoints; None for the default.
        keep_state: whether to tell the state after the last step.
    """

    stack: Stack
    checkpoint: bytes | None
    data_dir: Path | None
    device: str
    probes: tuple[Probe, ...]
    checkpoint_every: float | None
    keep_state: bool = False


@dataclass(frozen=True)
class Progress:
    """A chunk of steps was made. One message for all its events: pickling each of them would be slower.

    Attributes:
        events: what was measured, in order.
        made: steps x runs that were trained.
        settled: steps x runs that need no more training: those made, and those left of runs that diverged.
    """

    events: tuple[Event, ...]
    made: int
    settled: int


@dataclass(frozen=True)
class Checkpoint:
    """The state after everything told so far, as bytes (`engine.checkpoint.dump_state`)."""

    state: bytes


@dataclass(frozen=True)
class Final:
    """The state after the last step, before it is evaluated, as bytes. The end of the runs comes after it."""

    state: bytes


@dataclass(frozen=True)
class Done:
    """All runs of the stack ended."""


@dataclass(frozen=True)
class Stopped:
    """The trainer was asked to stop; its last checkpoint came before."""


@dataclass(frozen=True)
class Unfit:
    """The checkpoint cannot be continued from; nothing was trained."""

    reason: str


@dataclass(frozen=True)
class Refused:
    """Nothing can be trained: a `NormbenchError` with this text."""

    text: str


@dataclass(frozen=True)
class Failed:
    """A run or the device raised an exception, or ended its process.

    Attributes:
        traceback: for the files in crashes/.
        fault: as the user meets it.
        whole: whether all runs of the stack are given up, instead of looking for those at fault.
    """

    traceback: str
    fault: Fault
    whole: bool = False


Ending = Done | Stopped | Unfit | Refused | Failed  # the last message about a stack
Message = Progress | Checkpoint | Final | Ending

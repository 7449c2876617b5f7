"""A worker on a Ray cluster: an actor that trains one stack after the other, and what it says about itself.

The training runs in a thread. The actor's own thread answers the driver, which asks for messages several
times a second and can ask for a stop in between.
"""

from __future__ import annotations

import hashlib
import platform
import queue
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

import normbench
from normbench._version import __version__
from normbench.data import DataOptions, Dataset, Split
from normbench.engine.exact import exact
from normbench.errors import NormbenchError
from normbench.launch.messages import Assignment, Ending, Message, Refused
from normbench.launch.train_stack import train_stack
from normbench.plugins import Plugin, load_again
from normbench.records.environment import cpu_model

GATHER_SECONDS = 0.2  # messages are handed over together, so that short chunks of steps cost no call each
ANSWER_SECONDS = 0.5  # an answer without a message, so that the driver can be heard in between
MOST_MESSAGES = 256  # that wait for the driver; then the training waits


@dataclass(frozen=True)
class Software:
    """What must be equal on all machines of a sweep, because it changes the numbers."""

    normbench: str
    code: str
    torch: str
    numpy: str
    python: str

    @classmethod
    def here(cls) -> Software:
        """Return that of this process."""
        root, code = Path(normbench.__file__).parent, hashlib.sha256()
        for path in sorted(root.rglob("*.py")):
            code.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes() + b"\n")
        python = ".".join(platform.python_version_tuple()[:2])
        return cls(__version__, code.hexdigest()[:12], torch.__version__, np.__version__, python)

    def differences(self, other: Software) -> str:
        """Return what the other machine has in place of this, as words; empty if both are equal."""
        found = []
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                what = "the files of normbench" if field.name == "code" else field.name
                found.append(f"{what} {theirs} instead of {mine}")
        return ", ".join(found)


@dataclass(frozen=True)
class Setup:
    """What a worker is given at its start.

    Attributes:
        software: of the driver.
        device: that trains.
        threads: of torch.
        plugins: that the driver has loaded.
    """

    software: Software
    device: str
    threads: int
    plugins: tuple[Plugin, ...]


@dataclass(frozen=True)
class Ready:
    """Where a worker is, once it can train: the id of its node, and the node's processor."""

    node: str
    processor: str


@dataclass(frozen=True)
class Images:
    """A data set as it travels: arrays in shared memory, in place of tensors.

    Attributes:
        key: equal ones are the same data set.
        dataset: with arrays.
    """

    key: Hashable
    dataset: Dataset

    @classmethod
    def of(cls, key: Hashable, dataset: Dataset) -> Images:
        """Return a data set of the CPU, ready to be sent."""
        return cls(key, _changed(dataset, lambda tensor: tensor.numpy()))

    def on(self, device: str) -> Dataset:
        """Return the data set on a device. It is copied: what another process reads must not be written."""
        return _changed(self.dataset, lambda array: torch.tensor(array, device=device))


def _changed(dataset: Dataset, change: Any) -> Dataset:
    def part(split: Split) -> Split:
        return Split(change(split.x), change(split.y))

    val = None if dataset.val is None else part(dataset.val)
    return replace(dataset, train=part(dataset.train), val=val, test=part(dataset.test))


class Trainer:
    """The actor. The driver calls `ready` once, then `train` and `take` for each stack."""

    def __init__(self) -> None:
        self._threads = 1
        self._told: queue.Queue[Message | BaseException] = queue.Queue(MOST_MESSAGES)
        self._stop = threading.Event()
        self._images: tuple[Hashable, Dataset] | None = None

    def ready(self, setup: Setup) -> Ready | Refused:
        """Make this process like the driver's, or say why it cannot be."""
        node = ray.get_runtime_context().get_node_id()
        where = f"the node {ray.util.get_node_ip_address()}"
        if others := setup.software.differences(Software.here()):
            return Refused(
                f"{where} has {others}; results could differ there: install the same versions on all nodes"
            )
        if setup.device == "cuda" and not torch.cuda.is_available():
            return Refused(f"{where} gave a GPU that its torch cannot use; install torch with CUDA there")
        self._threads = setup.threads
        try:
            load_again(setup.plugins)  # before assignments come, whose settings are made of their classes
        except NormbenchError as error:
            return Refused(f"{where}: {error}")
        return Ready(node, cpu_model())

    def train(self, assignment: Assignment, images: Images) -> list[Message]:
        """Begin with a stack; return its first messages."""
        self._stop.clear()
        threading.Thread(target=self._train, args=(assignment, images), daemon=True).start()
        return self.take()

    def take(self) -> list[Message]:
        """Return what the training told since the last call; nothing if it told nothing for a while."""
        found: list[Message] = []
        end = time.monotonic() + GATHER_SECONDS
        try:
            while not found or not isinstance(found[-1], Ending):
                left = end - time.monotonic() if found else ANSWER_SECONDS
                told = self._told.get(timeout=max(left, 0.0))
                if isinstance(told, BaseException):
                    raise told  # a bug: the driver shows the traceback
                found.append(told)
        except queue.Empty:
            pass
        return found

    def stop(self) -> None:
        """Let the stack end with a checkpoint after the present chunk of steps."""
        self._stop.set()

    def _train(self, assignment: Assignment, images: Images) -> None:
        def fetch(options: DataOptions, *_: object, **__: object) -> Dataset:
            if self._images is None or self._images[0] != images.key:
                self._images = None  # two data sets need not fit
                self._images = images.key, images.on(assignment.device)
            return self._images[1]

        torch.set_num_threads(self._threads)
        try:
            with exact(assignment.device):
                for message in train_stack(assignment, self._stop.is_set, fetch):
                    self._told.put(message)
        except NormbenchError as error:
            self._told.put(Refused(str(error)))
        except BaseException as error:
            self._told.put(error)

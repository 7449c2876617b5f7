"""Trains the stacks of a plan in several processes: each worker trains a stack, only the parent writes.

Workers with one thread each do not wait for each other within a step. That is a little faster on two idle
cores, and much faster beside other work, where waiting threads spin (docs/benchmarks.md). A worker is a new
Python process (spawn). It receives assignments through a pipe and sends messages back. A worker that is
killed is replaced, and its stack continues from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import Counter, deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait

import torch

from normbench.errors import NormbenchError
from normbench.launch.messages import Assignment, Checkpoint, Ending, Refused
from normbench.launch.recorder import Recorder, stack_name
from normbench.launch.train_stack import train_stack
from normbench.planning.runs import Stack
from normbench.plugins import Plugin, load_again, loaded

TRIES = 3  # a stack whose worker is killed this often between two checkpoints is an error
WAIT_SECONDS = 0.5  # between two looks at `should_stop`


def train_in_processes(
    recorder: Recorder,
    stacks: Sequence[Stack],
    should_stop: Callable[[], bool],
    *,
    workers: int,
    threads: int,
) -> None:
    """Like `local.train_here`, with `workers` processes of `threads` threads each.

    Args:
        recorder: writes what the workers tell.
        stacks: to train.
        should_stop: if true, each worker makes a checkpoint and ends.
        workers: number of processes, at most one for each stack.
        threads: of torch, in each worker.

    Raises:
        NormbenchError: a worker refused to train, or was killed too often.
    """
    left = deque(stacks)
    killed: Counter[str] = Counter()
    pool = [Worker(threads) for _ in range(min(workers, len(left)))]
    stopping = False
    try:
        while True:
            if not stopping and should_stop():
                stopping = recorder.tally.interrupted = True
                for worker in pool:
                    worker.stop()
            for worker in pool:
                if worker.stack is None and left and not stopping:
                    worker.train(recorder.begin(left.popleft()))
            busy = {worker.pipe: worker for worker in pool if worker.stack is not None}
            if not busy:
                return
            for pipe in wait(list(busy), timeout=WAIT_SECONDS):
                worker = busy[pipe]  # type: ignore[index]
                stack = worker.stack
                assert stack is not None
                try:
                    message = worker.pipe.recv()
                except (EOFError, OSError):
                    recorder.close(stack)
                    killed[stack.stack_id] += 1
                    if killed[stack.stack_id] >= TRIES:
                        raise NormbenchError(
                            f"the worker training {stack_name(stack)} was killed {TRIES} times; "
                            "if memory ran out, use fewer --workers"
                        ) from None
                    recorder.reporter.message(
                        f"a worker was killed; a new one continues with {stack_name(stack)}"
                    )
                    pool[pool.index(worker)] = Worker(threads)
                    left.appendleft(stack)
                    continue
                if isinstance(message, Checkpoint):
                    del killed[stack.stack_id]  # the stack makes progress
                elif isinstance(message, Ending):
                    worker.stack = None
                left.extendleft(reversed(recorder.handle(stack, message)))
    finally:
        for worker in pool:
            worker.close()


class Worker:
    """A process that trains one stack after the other, as its parent sees it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, threads, loaded()), daemon=True)
        self.process.start()
        theirs.close()  # otherwise the end of the process would not close the pipe
        self.stack: Stack | None = None

    def train(self, assignment: Assignment) -> None:
        """Give the worker its next stack."""
        self.stack = assignment.stack
        self._send(assignment)

    def stop(self) -> None:
        """Ask the worker to end its stack after the present chunk of steps."""
        self._send(None)

    def _send(self, given: Assignment | None) -> None:
        with contextlib.suppress(BrokenPipeError):  # it was killed; reading from its pipe will tell
            self.pipe.send(given)

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(timeout=0.2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, threads: int, plugins: Sequence[Plugin]) -> None:
    """Train what comes through the pipe, in the worker's process, until told to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(threads)

    def told_to_stop() -> bool:
        return pipe.poll() and pipe.recv() is None

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        try:
            load_again(plugins)  # before assignments come, whose settings are made of their classes
            while (assignment := pipe.recv()) is not None:
                for message in train_stack(assignment, told_to_stop):
                    pipe.send(message)
        except NormbenchError as error:
            pipe.send(Refused(str(error)))

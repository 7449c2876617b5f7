"""Trains the stacks of a plan in several processes: each worker trains a stack, only the parent writes.

Workers with one thread each do not wait for each other within a step. That is a little faster on two idle
cores, and much faster beside other work, where waiting threads spin (docs/benchmarks.md). A worker is a new
Python process (spawn). It receives assignments through a pipe and sends messages back. A worker that is
killed is replaced, and its stack continues from its last checkpoint. If that does not help, the stack is
halved like one whose memory ran out.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait

import torch

from normbench.engine.exact import exact
from normbench.errors import NormbenchError
from normbench.launch.faults import Fault
from normbench.launch.idle import leave, waiting
from normbench.launch.messages import Assignment, Checkpoint, Ending, Failed, Refused
from normbench.launch.recorder import Recorder, stack_name
from normbench.launch.stop import signals_blocked, stop_signals
from normbench.launch.train_stack import train_stack
from normbench.planning.runs import Stack
from normbench.plugins import Plugin, load_again, loaded

TRIES = 2  # a stack whose worker is killed this often between two checkpoints is halved
WAIT_SECONDS = 0.5  # between two looks at `should_stop`
NAME = "normbench worker"
UNGUARDED = 78  # exit code of a worker whose import of the user's script would train again


def end_if_worker() -> None:
    """End this process if it is a worker: it imports a script that trains when it is imported.

    Without this the script would start workers that start workers. The parent explains the exit code.
    """
    if multiprocessing.current_process().name == NAME:
        os._exit(UNGUARDED)


class Processes:
    """The launcher with several processes. They live from the first round of a session to its end.

    In a block of `workers_stay` they outlive the session.
    """

    def __init__(self, workers: int, threads: int) -> None:
        """Prepare to start processes; `train` starts them.

        Args:
            workers: number of processes, at most one for each stack.
            threads: of torch, in each process.
        """
        self.workers = workers
        self.threads = threads
        self._pool: list[Worker] = []

    def train(self, recorder: Recorder, stacks: Sequence[Stack], should_stop: Callable[[], bool]) -> None:
        """Train the stacks until all are done or `should_stop` returns true; see `Launcher`.

        Raises:
            NormbenchError: a worker refused to train, or could not start.
        """
        left = deque(stacks)
        killed: Counter[str] = Counter()
        pool = self._pool
        while len(pool) < min(self.workers, len(left)):
            pool.append(waiting(self.threads) or Worker(self.threads))
        stopping = False
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
                    message = None  # the process has ended
                if message is None:
                    end = worker.end()
                    killed[stack.stack_id] += 1
                    pool[pool.index(worker)] = Worker(self.threads)
                    if killed[stack.stack_id] < TRIES:
                        recorder.reporter.message(
                            f"a worker {end}; a new one continues with {stack_name(stack)}"
                        )
                        recorder.close(stack)
                        left.appendleft(stack)
                        continue
                    message = _failed(end)
                if isinstance(message, Ready):
                    worker.ready = True
                    continue
                if isinstance(message, Checkpoint):
                    del killed[stack.stack_id]  # the stack makes progress
                elif isinstance(message, Ending):
                    worker.stack = None
                left.extendleft(reversed(recorder.handle(stack, message)))

    def close(self) -> None:
        """End the processes, also those in the middle of a stack. In `workers_stay`, idle ones wait."""
        while self._pool:
            leave(self._pool.pop())


def _failed(end: str) -> Failed:
    """Return what is recorded of a stack whose workers ended this way."""
    error = f"its worker {end}, {TRIES} times without a checkpoint in between"
    return Failed(f"{error}\n", Fault(error, memory="SIGKILL" in end))


@dataclass(frozen=True)
class Ready:
    """The first message of a worker: it has imported what it needs."""


class Worker:
    """A process that trains one stack after the other, as its parent sees it."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.threads, self.plugins = threads, loaded()
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, threads, self.plugins)
        self.process = context.Process(target=_work, args=arguments, daemon=True, name=NAME)
        with signals_blocked(stop_signals()):
            self.process.start()
        theirs.close()  # otherwise the end of the process would not close the pipe
        self.stack: Stack | None = None
        self.ready = False
        self.stopped = False

    @property
    def is_idle(self) -> bool:
        """Return whether it waits for a stack."""
        return self.ready and self.stack is None and not self.stopped

    def is_like_new(self, threads: int) -> bool:
        """Return whether a new worker with these threads would be no other."""
        return self.threads == threads and self.plugins == loaded() and self.process.is_alive()

    def train(self, assignment: Assignment) -> None:
        """Give the worker its next stack."""
        self.stack = assignment.stack
        self._send(assignment)

    def stop(self) -> None:
        """Ask the worker to end its stack after the present chunk of steps."""
        self.stopped = True
        self._send(None)

    def _send(self, given: Assignment | None) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # reading from its pipe will tell
            self.pipe.send(given)

    def end(self) -> str:
        """Return how a process ended that should not have, such as `was killed by SIGKILL`.

        Raises:
            NormbenchError: it could not even start, which another one could not either.
        """
        self.close()
        code = self.process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
            hint = " (the system does so when memory runs out: use fewer --workers)"
            return f"was killed by {name}{hint if name == 'SIGKILL' else ''}"
        if self.ready:
            return f"ended with exit code {code}"
        script = sys.argv[0] or "the script"
        if code == UNGUARDED:
            raise NormbenchError(
                f'{script} calls normbench.run outside of `if __name__ == "__main__":`, and each worker '
                'imports it; put the call below that line, or use launcher="local"'
            )
        raise NormbenchError(
            f"a worker could not start (exit code {code}; what it printed is above); workers import "
            f"{script}, which must be a file that can be imported; --launcher local needs no workers"
        )

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.join(timeout=0.5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _work(pipe: Connection, threads: int, plugins: Sequence[Plugin]) -> None:
    """Train what comes through the pipe, in the worker's process, until told to stop."""
    for number in stop_signals():  # Ctrl-C reaches all processes; the parent decides
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(threads)

    def told_to_stop() -> bool:
        return pipe.poll() and pipe.recv() is None

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        try:
            pipe.send(Ready())
            load_again(plugins)  # before assignments come, whose settings are made of their classes
            while (assignment := pipe.recv()) is not None:
                with exact(assignment.device):
                    for message in train_stack(assignment, told_to_stop):
                        pipe.send(message)
        except NormbenchError as error:
            pipe.send(Refused(str(error)))

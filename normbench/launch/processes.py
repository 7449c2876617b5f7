"""Trains the stacks of a plan in several processes: one stack to each worker, the parent alone writes.

On a CPU two workers of one thread each train a sweep faster than one process with two threads, for nobody
waits for the other within a step. Workers are started afresh (spawn), read their stack from a pipe, and send
back what the engine tells; a worker that is killed is replaced, and its stack trained again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from normbench.engine.events import RunEnd
from normbench.errors import NormbenchError
from normbench.launch.local import Tally, crash, stack_name
from normbench.launch.reporter import Reporter
from normbench.plan import Plan, Stack, split_stack
from normbench.records import ResultsFolder, StackWriter

TRIES = 3  # a stack whose worker was killed so often (out of memory?) is an error


def train_in_processes(
    plan: Plan,
    stacks: Sequence[Stack],
    folder: ResultsFolder,
    reporter: Reporter,
    should_stop: Callable[[], bool],
    *,
    workers: int,
    threads: int,
) -> Tally:
    """Train the stacks by so many workers of so many threads each; as `local.train_stacks` else."""
    tally = Tally()
    left = list(stacks)
    tries: dict[str, int] = {}
    pool = [Worker(plan, threads) for _ in range(min(workers, len(left)))]
    told = False
    try:
        while True:
            if should_stop() and not told:
                tally.interrupted = told = True
                for worker in pool:
                    worker.stop()
            for worker in pool:
                if worker.stack is None and left and not told:
                    worker.train(left.pop(0), folder, reporter)
            busy = [worker for worker in pool if worker.stack is not None]
            if not busy:
                return tally
            for ready in wait([worker.pipe for worker in busy], timeout=0.5):
                worker = next(one for one in busy if one.pipe is ready)
                stack = worker.stack
                assert stack is not None
                try:
                    kind, content = worker.pipe.recv()
                except (EOFError, OSError):
                    worker.finish()
                    tries[stack.stack_id] = tries.get(stack.stack_id, 0) + 1
                    if tries[stack.stack_id] >= TRIES:
                        raise NormbenchError(
                            f"the worker training {stack_name(stack)} was killed {TRIES} times; "
                            "if memory ran out, use fewer --workers"
                        ) from None
                    reporter.message(f"a worker was killed; {stack_name(stack)} starts again in a new one")
                    pool[pool.index(worker)] = Worker(plan, threads)
                    left.insert(0, stack)
                    continue
                if kind == "event":
                    assert worker.writer is not None
                    worker.writer.write(content)
                    tally.trained += isinstance(content, RunEnd)
                elif kind == "flush":
                    assert worker.writer is not None
                    worker.writer.flush()
                    reporter.advance(content)
                elif kind == "done":
                    worker.finish()
                    tally.executors.add(stack.executor)
                elif kind == "refused":
                    raise NormbenchError(content)
                else:
                    worker.finish()
                    left = _after_failure(stack, content, folder, reporter, tally) + left
    finally:
        for worker in pool:
            worker.close()


def _after_failure(
    stack: Stack, error: str, folder: ResultsFolder, reporter: Reporter, tally: Tally
) -> list[Stack]:
    """Return the halves to train again, or record the one run that crashed."""
    if len(stack.runs) > 1:
        reporter.message(f"{stack_name(stack)} raised an error; training it again in halves")
        return list(split_stack(stack))
    run = stack.runs[0]
    with folder.writer(stack) as writer:
        writer.write(crash(run, stack.executor, error))
    reporter.message(f"run {run.run_id} crashed; its traceback is kept in crashes/{run.run_id}.txt")
    tally.crashed += 1
    return []


class Worker:
    """A process that trains one stack after the other, as seen by the parent."""

    def __init__(self, plan: Plan, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_work, args=(theirs, Job(plan.data_dir, plan.device, threads)), daemon=True
        )
        self.process.start()
        theirs.close()  # else the end of the process would not show as the end of the pipe
        self.stack: Stack | None = None
        self.writer: StackWriter | None = None

    def train(self, stack: Stack, folder: ResultsFolder, reporter: Reporter) -> None:
        """Give the worker its next stack."""
        reporter.stack(stack_name(stack))
        self.stack, self.writer = stack, folder.writer(stack)
        with contextlib.suppress(BrokenPipeError):  # it was killed: its pipe will say so
            self.pipe.send(stack)

    def stop(self) -> None:
        """Ask the worker to end its stack at the next look."""
        with contextlib.suppress(BrokenPipeError):
            self.pipe.send(None)

    def finish(self) -> None:
        """Close the stack's part file."""
        if self.writer is not None:
            self.writer.close()
        self.stack = self.writer = None

    def close(self) -> None:
        """End the process."""
        self.finish()
        self.pipe.close()
        self.process.join(timeout=0.2)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@dataclass(frozen=True)
class Job:
    """What a worker is told once: where the data are, and on what to train with how many threads."""

    data_dir: Path | None
    device: str
    threads: int


def _work(pipe: Connection, job: Job) -> None:
    """Train the stacks that come through the pipe, in the worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import torch

    torch.set_num_threads(job.threads)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            stack = pipe.recv()
            if stack is None:
                return
            try:
                _train(pipe, stack, job)
            except (BrokenPipeError, ConnectionResetError):
                return
            except NormbenchError as error:
                pipe.send(("refused", str(error)))
            except Exception:
                pipe.send(("failed", traceback.format_exc()))
            else:
                pipe.send(("done", None))


def _train(pipe: Connection, stack: Stack, job: Job) -> None:
    import torch

    from normbench.data import load
    from normbench.engine.loop import StackTrainer
    from normbench.plan import stack_key

    settings = stack.runs[0].settings
    dtype = torch.float64 if settings.train.dtype == "float64" else torch.float32
    dataset = load(settings.data, job.data_dir, dtype=dtype, device=job.device)

    def advance(run_steps: int) -> None:
        pipe.send(("flush", run_steps))

    def should_stop() -> bool:
        return pipe.poll() and pipe.recv() is None

    trainer = StackTrainer(stack.runs, dataset, stack.executor, stack_key(settings), advance=advance)
    for event in trainer.events(should_stop):
        pipe.send(("event", event))


def worker_plan(workers: int | None, threads: int | None) -> tuple[int, int]:
    """Return how many workers, and threads for each: by default as many workers of one thread as cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = workers or max(1, cores // (threads or 1))
    return workers, threads or max(1, cores // workers)

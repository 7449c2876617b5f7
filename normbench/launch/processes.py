"""Trains the stacks of a plan in several processes: one stack to each worker, the parent alone writes.

Workers of one thread each do not wait for each other within a step, which is a little faster on two cores,
and much faster beside other work, where threads wait by spinning (docs/benchmarks.md). Workers are started
afresh (spawn), read their stack from a pipe, and send back what the engine tells and the states for its
checkpoints; a worker that is killed is replaced, and its stack goes on from the last.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from normbench.engine.checkpoint import UnfitError
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Schedule
from normbench.launch.launch import Launch, stack_name
from normbench.planning.runs import Stack
from normbench.plugins import Plugin, load_again, loaded
from normbench.probes import Probe
from normbench.records import StackWriter

TRIES = 3  # a stack whose worker was killed so often (out of memory?) is an error


def train_in_processes(launch: Launch, stacks: Sequence[Stack], *, workers: int, threads: int) -> None:
    """Train the stacks by so many workers of so many threads each; as `local.train_stacks` else."""
    plan, checkpoints, tally = launch.plan, launch.checkpoints, launch.tally
    left = list(stacks)
    tries: dict[str, int] = {}
    probes = tuple(plan.experiment.probes)
    job = Job(plan.data_dir, plan.device, threads, checkpoints.every, probes, loaded())
    pool = [Worker(job) for _ in range(min(workers, len(left)))]
    told = False
    try:
        while True:
            if launch.should_stop() and not told:
                tally.interrupted = told = True
                for worker in pool:
                    worker.stop()
            for worker in pool:
                if worker.stack is None and left and not told:
                    worker.train(launch, left.pop(0))
            busy = [worker for worker in pool if worker.stack is not None]
            if not busy:
                return
            for ready in wait([worker.pipe for worker in busy], timeout=0.5):
                worker = next(one for one in busy if one.pipe is ready)
                stack, writer = worker.stack, worker.writer
                assert stack is not None
                assert writer is not None
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
                    launch.reporter.message(
                        f"a worker was killed; {stack_name(stack)} is trained by a new one"
                    )
                    pool[pool.index(worker)] = Worker(job)
                    left.insert(0, stack)
                    continue
                if kind == "event":
                    launch.write(content, writer)
                elif kind == "flush":
                    writer.flush()
                    launch.reporter.advance(content)
                elif kind == "made":
                    tally.run_steps[stack.stack_id] += content
                elif kind == "checkpoint":
                    checkpoints.save_bytes(stack, content, writer)
                    tries.pop(stack.stack_id, None)  # it gets on
                elif kind == "done":
                    worker.finish()
                    tally.executors.add(stack.executor)
                    if content:
                        checkpoints.remove(stack.stack_id)
                elif kind == "unfit":
                    worker.finish()
                    launch.begins_anew(stack, content)
                    left.insert(0, stack)
                elif kind == "refused":
                    raise NormbenchError(content)
                else:
                    worker.finish()
                    left = [*launch.after_failure(stack, content), *left]
    finally:
        for worker in pool:
            worker.close()


class Worker:
    """A process that trains one stack after the other, as seen by the parent."""

    def __init__(self, job: Job) -> None:
        self.job = job
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, job), daemon=True)
        self.process.start()
        theirs.close()  # else the end of the process would not show as the end of the pipe
        self.stack: Stack | None = None
        self.writer: StackWriter | None = None

    def train(self, launch: Launch, stack: Stack) -> None:
        """Give the worker its next stack, with its checkpoint if there is one."""
        launch.reporter.stack(stack_name(stack))
        state, reason = launch.checkpoints.load(stack, self.job.device, onto="cpu")
        if state is None:
            launch.begins_anew(stack, reason)
            stored, lengths = None, None
        else:
            launch.resumes(stack, state)
            stored, lengths = launch.checkpoints.read(stack), state.lengths
        self.stack, self.writer = stack, launch.folder.writer(stack, lengths=lengths)
        with contextlib.suppress(BrokenPipeError):  # it was killed: its pipe will say so
            self.pipe.send((stack, stored))

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
    """What a worker is told once: where the data are, on what and how to train, and the user's own code."""

    data_dir: Path | None
    device: str
    threads: int
    checkpoint_every: float | None
    probes: tuple[Probe, ...]
    plugins: tuple[Plugin, ...]


def _work(pipe: Connection, job: Job) -> None:
    """Train the stacks that come through the pipe, in the worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    import torch

    torch.set_num_threads(job.threads)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        try:
            load_again(job.plugins)  # before a stack comes, whose settings are made of their classes
        except NormbenchError as error:
            pipe.send(("refused", str(error)))
            return
        while True:
            given = pipe.recv()
            if given is None:
                return
            stack, stored = given
            try:
                finished = _train(pipe, stack, stored, job)
            except (BrokenPipeError, ConnectionResetError):
                return
            except UnfitError as error:
                pipe.send(("unfit", str(error)))
            except NormbenchError as error:
                pipe.send(("refused", str(error)))
            except Exception:
                pipe.send(("failed", traceback.format_exc()))
                if job.device == "cuda":
                    torch.cuda.empty_cache()  # it may have been the memory
            else:
                pipe.send(("done", finished))


def _train(pipe: Connection, stack: Stack, stored: bytes | None, job: Job) -> bool:
    """Train a stack to its end, or until told to stop; say whether it is at its end."""
    import torch

    from normbench.data import load
    from normbench.engine.checkpoint import dump_state, load_state
    from normbench.engine.loop import StackTrainer
    from normbench.planning.stacks import stack_key

    settings, ids = stack.runs[0].settings, [run.run_id for run in stack.runs]
    dataset = load(settings.data, job.data_dir, dtype=settings.train.torch_dtype, device=job.device)
    state = None if stored is None else load_state(stored, ids, stack.executor, torch.device(job.device))

    def advance(run_steps: int) -> None:
        pipe.send(("flush", run_steps))

    trainer = StackTrainer(
        stack.runs,
        dataset,
        stack.executor,
        stack_key(settings),
        probes=job.probes,
        state=state,
        advance=advance,
    )
    schedule = Schedule(job.checkpoint_every)
    told = 0

    def tell_made() -> None:
        nonlocal told
        pipe.send(("made", trainer.made - told))
        told = trainer.made

    def rest() -> bool:
        tell_made()
        stop = pipe.poll() and pipe.recv() is None
        if trainer.state.step and (stop or schedule.due()):
            with schedule.saving():
                pipe.send(("checkpoint", dump_state(trainer.state, ids, stack.executor)))
        return stop

    for event in trainer.events(rest):
        pipe.send(("event", event))
    tell_made()
    return not trainer.state.lanes

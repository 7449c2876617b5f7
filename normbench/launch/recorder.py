"""Turns what training tells into records, checkpoints and progress, for every launcher."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from normbench.engine.checkpoint import dump_state
from normbench.engine.events import RunEnd
from normbench.engine.state import StackState
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Checkpoints
from normbench.launch.faults import Fault, Faults
from normbench.launch.final_states import FinalStates
from normbench.launch.messages import (
    Assignment,
    Checkpoint,
    Done,
    Ending,
    Failed,
    Final,
    Message,
    Progress,
    Refused,
    Stopped,
    Unfit,
)
from normbench.launch.reporter import Reporter
from normbench.names import WHOLE_STACK
from normbench.planning.plan import Plan
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.stacks import split_stack
from normbench.records import ResultsFolder, StackWriter


@dataclass
class Tally:
    """What a session did.

    Attributes:
        trained: runs that ended.
        crashed: number of runs that raised an exception.
        faults: the exceptions that ended runs.
        interrupted: whether some stacks were stopped or not begun.
        executors: of the stacks that trained.
        run_steps: steps x runs made, by stack.
        resumed: step that a stack continued from, by stack.
        halves: stacks made from one that raised an exception.
        processors: number of stacks begun on each kind of processor, where these are of other machines.
    """

    trained: set[str] = field(default_factory=set)
    crashed: int = 0
    faults: Faults = field(default_factory=Faults)
    interrupted: bool = False
    executors: set[str] = field(default_factory=set)
    run_steps: Counter[str] = field(default_factory=Counter)
    resumed: dict[str, int] = field(default_factory=dict)
    halves: set[str] = field(default_factory=set)
    processors: Counter[str] = field(default_factory=Counter)

    def made(self) -> dict[str, Any]:
        """Return the facts for environment.json."""
        elsewhere = {"processors": dict(self.processors)} if self.processors else {}
        return {
            "run_steps": self.run_steps.total(),
            "run_steps_of": dict(self.run_steps),
            "resumed": self.resumed,
            **elsewhere,
        }


class Recorder:
    """Writes for all trainers; no other process writes to the results folder.

    A launcher calls `begin` for a stack, trains what it returns, and gives each message to `handle`, which
    returns the stacks to train next in its place.

    Args:
        plan: that is trained.
        folder: the results folder, open.
        checkpoints: of the folder.
        reporter: hears about the progress.
        states: where the states after the last step are kept; None: they are not.
    """

    def __init__(
        self,
        plan: Plan,
        folder: ResultsFolder,
        checkpoints: Checkpoints,
        reporter: Reporter,
        states: FinalStates | None = None,
    ) -> None:
        self.plan, self.folder, self.checkpoints, self.reporter = plan, folder, checkpoints, reporter
        self.states = states
        self.tally = Tally()
        self._writers: dict[str, StackWriter] = {}
        self._said: set[Fault] = set()

    def begin(self, stack: Stack) -> Assignment:
        """Open the records of a stack and return what its trainer needs."""
        self.reporter.stack(stack_name(stack))
        state, reason = self.checkpoints.load(stack, self.plan.device, onto="cpu")
        if state is None:
            self._restart(stack, reason)
            checkpoint, lengths = None, None
        else:
            self._resume(stack, state)
            checkpoint, lengths = self.checkpoints.read(stack), state.lengths
        self._writers[stack.stack_id] = self.folder.writer(stack, lengths=lengths)
        return Assignment(
            stack,
            checkpoint,
            self.plan.data_dir,
            self.plan.device,
            tuple(self.plan.experiment.probes),
            self.checkpoints.every,
            keep_state=self.states is not None,
        )

    def handle(self, stack: Stack, message: Message) -> tuple[Stack, ...]:
        """Record a message about a stack; return the stacks to train in its place, if any.

        Raises:
            NormbenchError: nothing can be trained.
        """
        if isinstance(message, Ending):
            self.close(stack)
        match message:
            case Progress(events, made, settled):
                writer = self._writers[stack.stack_id]
                for event in events:
                    if isinstance(event, RunEnd):
                        self.tally.trained.add(event.run_id)
                        if event.error is not None:  # it diverged by raising: a result, not a crash
                            self.tally.faults.divergence(event.error)
                            event = replace(event, error=None)
                    writer.write(event)
                writer.flush()  # the rows are with the operating system before the next steps
                self.folder.check()  # a training whose folder is gone ends now, not hours later
                self.tally.run_steps[stack.stack_id] += made
                self.reporter.advance(settled)
            case Checkpoint(state):
                self.checkpoints.save(stack, state, self._writers[stack.stack_id])
            case Final(state):
                assert self.states is not None
                self.states.save(stack, state)
            case Done():
                self.tally.executors.add(stack.executor)
                self.checkpoints.remove(stack.stack_id)
            case Stopped():
                self.tally.executors.add(stack.executor)
                self.tally.interrupted = True
            case Unfit(reason):
                self._restart(stack, reason)
                return (stack,)
            case Failed():
                return self._after_failure(stack, message)
            case Refused(text):
                raise NormbenchError(text)
        return ()

    def close(self, stack: Stack) -> None:
        """Close the records of a stack that trains no more."""
        if (writer := self._writers.pop(stack.stack_id, None)) is not None:
            writer.close()

    def close_all(self) -> None:
        """Close the records of all stacks that were training."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _resume(self, stack: Stack, state: StackState) -> None:
        """Report and count that a stack continues from a checkpoint."""
        steps = stack.runs[0].settings.train.steps
        self.reporter.message(f"{stack_name(stack)}: continues at step {state.step:,} of {steps:,}")
        counted = self.tally.halves | self.tally.resumed.keys()  # this session made their steps
        if stack.stack_id not in counted:
            gone = len(stack.runs) - len(state.lanes)
            self.reporter.skip(gone * steps + len(state.lanes) * state.step)
        self.tally.resumed[stack.stack_id] = state.step

    def _restart(self, stack: Stack, reason: str) -> None:
        """Remove a checkpoint that cannot be used and report why; without one there is nothing to report."""
        if reason:
            name = stack_name(stack)
            self.reporter.message(f"{name}: starts again; its checkpoint cannot be used: {reason}")
        self.checkpoints.remove(stack.stack_id)

    def _after_failure(self, stack: Stack, failed: Failed) -> tuple[Stack, ...]:
        """Return the halves of a stack that raised an exception, or record that its runs crashed.

        The stack ends here: its rows without an end would otherwise make its runs look interrupted.
        """
        if len(stack.runs) > 1 and not failed.whole:  # halving isolates the run that is at fault
            self._say_halved(stack, failed)
            halves = self._halves(stack)
            self.tally.halves.update(half.stack_id for half in halves)
            self.folder.drop(stack.stack_id)
            return halves
        self.checkpoints.remove(stack.stack_id)  # a retry starts at step 0
        ended = self.folder.drop(stack.stack_id)
        crashed = [run for run in stack.runs if run.run_id not in ended]
        if not crashed:
            return ()
        with self.folder.writer(replace(stack, runs=tuple(crashed))) as writer:
            for run in crashed:
                vectorized = stack.executor in WHOLE_STACK
                text = self.tally.faults.crash(run.run_id, failed.fault, failed.traceback, vectorized)
                writer.write(_crash(run, stack.executor, text))
        self.tally.crashed += len(crashed)
        return ()

    def _say_halved(self, stack: Stack, failed: Failed) -> None:
        """Say once for each fault that steps are made again; halving a stack that made none costs nothing."""
        if self.tally.run_steps[stack.stack_id] and failed.fault not in self._said:
            self._said.add(failed.fault)
            self.reporter.message(
                f"{stack_name(stack)} raised an error ({failed.fault.error}); it is trained again in halves "
                "until the runs at fault are alone"
            )

    def _halves(self, stack: Stack) -> tuple[Stack, ...]:
        """Return the halves of a stack, with its last checkpoint divided between them."""
        state, _ = self.checkpoints.load(stack, self.plan.device)
        if state is None:
            halves = split_stack(stack)
            for half in halves:  # another session goes on with them, not with the whole stack
                self.folder.writer(half).close()
            return halves
        halves = split_stack(stack, [stack.runs[run] for run in state.lanes])
        first = 0
        for half in halves:
            part = state.of(range(first, first + len(half.runs)))
            first += len(half.runs)
            with self.folder.writer(half) as writer:
                writer.take_over(stack.stack_id, state.lengths)
                data = dump_state(part, [run.run_id for run in half.runs], half.executor)
                self.checkpoints.save(half, data, writer)
        self.checkpoints.remove(stack.stack_id)
        return halves


def stack_name(stack: Stack) -> str:
    """Return a stack's name for people: its net, its normalization, its runs and seeds."""
    model = stack.runs[0].settings.model
    seeds = sorted({run.seed for run in stack.runs})
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    depth = f" depth {model.depth}" if hasattr(model, "depth") else ""
    return f"{model.name}{depth}, {model.activation}, {model.norm.name}: {len(stack.runs)} runs, {which}"


def _crash(run: RunSpec, executor: str, error: str) -> RunEnd:
    """Return the end of a run that raised an exception."""
    return RunEnd(
        run_id=run.run_id,
        status="crashed",
        steps=0,
        diverged_at_step=None,
        train_loss_last_tenth=None,
        label_entropy=float("nan"),
        parameters=0,
        train_seconds=0.0,
        executor=executor,
        error=error,
    )

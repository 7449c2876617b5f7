"""What the launchers share: where records and checkpoints go, who is told, what follows a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from normbench.engine.events import Event, RunEnd
from normbench.engine.state import StackState
from normbench.launch.checkpoints import Checkpoints
from normbench.launch.reporter import Reporter
from normbench.planning.plan import Plan
from normbench.planning.runs import RunSpec, Stack
from normbench.planning.stacks import split_stack
from normbench.records import ResultsFolder, StackWriter


@dataclass
class Tally:
    """What a launch did: the runs that ended, the executors, and how many steps it made itself."""

    trained: set[str] = field(default_factory=set)
    crashed: int = 0
    interrupted: bool = False
    executors: set[str] = field(default_factory=set)
    run_steps: Counter[str] = field(default_factory=Counter)  # steps x runs, by stack
    resumed: dict[str, int] = field(default_factory=dict)
    halves: set[str] = field(default_factory=set)  # stacks made of one that raised an error

    def made(self) -> dict[str, Any]:
        """Return what environment.json tells: steps x runs made, and from which step a stack went on."""
        return {
            "run_steps": self.run_steps.total(),
            "run_steps_of": dict(self.run_steps),
            "resumed": self.resumed,
        }


@dataclass(frozen=True)
class Launch:
    """One launch of a plan; only its process writes to the folder."""

    plan: Plan
    folder: ResultsFolder
    checkpoints: Checkpoints
    reporter: Reporter
    should_stop: Callable[[], bool]
    tally: Tally = field(default_factory=Tally)

    def write(self, event: Event, writer: StackWriter) -> None:
        """Append what the engine tells, and count the runs that ended."""
        writer.write(event)
        if isinstance(event, RunEnd):
            self.tally.trained.add(event.run_id)

    def resumes(self, stack: Stack, state: StackState) -> None:
        """Say and note that a stack goes on from a checkpoint."""
        steps = stack.runs[0].settings.train.steps
        self.reporter.message(f"{stack_name(stack)}: goes on at step {state.step:,} of {steps:,}")
        counted = self.tally.halves | self.tally.resumed.keys()  # stacks whose steps this session made
        if stack.stack_id not in counted:
            gone = len(stack.runs) - len(state.lanes)
            self.reporter.skip(gone * steps + len(state.lanes) * state.step)
        self.tally.resumed[stack.stack_id] = state.step

    def begins_anew(self, stack: Stack, reason: str) -> None:
        """Remove a checkpoint that is not gone on from and say why; without one there is nothing to say."""
        if reason:
            name = stack_name(stack)
            self.reporter.message(f"{name}: begins anew, for its checkpoint cannot be used: {reason}")
        self.checkpoints.remove(stack.stack_id)

    def after_failure(self, stack: Stack, error: str) -> tuple[Stack, ...]:
        """Return the halves to train in place of a stack that raised an error, or record the run's crash."""
        if len(stack.runs) > 1:
            # one of them may be at fault: each half alone, and so on, until it stands by itself
            self.reporter.message(f"{stack_name(stack)} raised an error; training it again in halves")
            halves = self._halves(stack)
            self.tally.halves.update(half.stack_id for half in halves)
            return halves
        run = stack.runs[0]
        self.checkpoints.remove(stack.stack_id)  # tried again, it begins anew
        with self.folder.writer(stack) as writer:
            writer.write(crash(run, stack.executor, error))
        self.reporter.message(f"run {run.run_id} crashed; its traceback is kept in crashes/{run.run_id}.txt")
        self.tally.crashed += 1
        return ()

    def _halves(self, stack: Stack) -> tuple[Stack, ...]:
        """Return the halves of a stack, with its last checkpoint divided among them."""
        state, _ = self.checkpoints.load(stack, self.plan.device)
        if state is None:
            return split_stack(stack)
        halves = split_stack(stack, [stack.runs[run] for run in state.lanes])
        first = 0
        for half in halves:
            positions = range(first, first + len(half.runs))
            first += len(half.runs)
            with self.folder.writer(half) as writer:
                writer.take_over(stack.stack_id, state.lengths)
                self.checkpoints.save(half, state.of(positions), writer)
        self.checkpoints.remove(stack.stack_id)
        return halves


def stack_name(stack: Stack) -> str:
    """Return what people call a stack: its net, its normalization, and how many runs it has."""
    model = stack.runs[0].settings.model
    seeds = sorted({run.seed for run in stack.runs})
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    depth = f" depth {model.depth}" if hasattr(model, "depth") else ""
    return f"{model.name}{depth}, {model.activation}, {model.norm.name}: {len(stack.runs)} runs, {which}"


def crash(run: RunSpec, executor: str, error: str) -> RunEnd:
    """Return the end of a run that raised an exception, with its traceback."""
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

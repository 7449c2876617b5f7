"""Trains one stack from its state to the end, and reports what it measures as events."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from normbench.data import Dataset
from normbench.engine.batches import Batch, BatchSampler, noise_shapes
from normbench.engine.checkpoint import UnfitError
from normbench.engine.compiled import Compiled
from normbench.engine.divergence import Pass, broken, repeat
from normbench.engine.eager import Eager
from normbench.engine.evaluation import Evaluator, Scores
from normbench.engine.events import Evaluation, Event, Layers, RunEnd
from normbench.engine.executor import Executor
from normbench.engine.looped import Looped
from normbench.engine.probing import Probing
from normbench.engine.state import StackState, Tensors, holds, initial_model, initial_state
from normbench.engine.vectorized import Vectorized
from normbench.errors import NormbenchError
from normbench.nn.holding import trained
from normbench.probes import Probe

if TYPE_CHECKING:
    from normbench.config import Settings
    from normbench.planning.runs import RunSpec

EXECUTORS: dict[str, type[Executor]] = {one.name: one for one in (Compiled, Vectorized, Looped, Eager)}
CHECK_EVERY = 25  # steps between checks of the losses; each check waits for the device


class StackTrainer:
    """Trains the runs of one stack. Their settings differ only where a stack allows it.

    Args:
        runs: of the stack.
        dataset: the images, on the device that trains.
        executor: name of the executor.
        key: identifies the settings that the runs share, and that a trace depends on.
        probes: those of the experiment; probes that this net refuses are left out.
        state: where to continue; None to start with untrained nets.
        advance: called with the number of run steps that are settled: made, or no longer needed because a run
            diverged.
        at_end: called with the state after the last step, before it is evaluated: from it, a longer training
            goes on as if it had never ended.

    Raises:
        UnfitError: the state belongs to another net.
    """

    # What is trained
    runs: list[RunSpec]
    settings: Settings  # of the first run
    dataset: Dataset
    device: torch.device
    parameters: int  # of one net

    # What trains and measures it
    sampler: BatchSampler
    executor: Executor
    evaluator: Evaluator
    probing: Probing

    # What changes
    state: StackState  # all that a checkpoint needs
    made: int  # run steps that this trainer made itself
    losses: list[Tensor]  # of the steps of this chunk, (R,) each
    inference: dict[int, tuple[float | None, float | None]]  # of training images after the last step, by run

    def __init__(
        self,
        runs: Sequence[RunSpec],
        dataset: Dataset,
        executor: str,
        key: Hashable,
        *,
        probes: Sequence[Probe] = (),
        state: StackState | None = None,
        advance: Callable[[int], None] = lambda run_steps: None,
        at_end: Callable[[StackState], None] = lambda state: None,
    ) -> None:
        self.runs, self.dataset, self.advance, self.at_end = list(runs), dataset, advance, at_end
        self.settings = self.runs[0].settings
        self.device = dataset.train.x.device
        data, train = self.settings.data, self.settings.train

        self.sampler = BatchSampler(dataset, [run.seed for run in self.runs], data.batch_size, data.augment)
        model = self._initial_model(self.runs[0])
        self.sampler.noise_shapes = noise_shapes(model, self._first_images(self.runs[0]))
        self.parameters = sum(p.numel() for p in trained(model).values())
        self.executor = EXECUTORS[executor](model, self.settings.optimizer, (key, str(self.device)))
        self.evaluator = Evaluator(
            self.executor, dataset, self.sampler, train.eval_size, train.eval_batch_size
        )
        served = [probe for probe in probes if probe.refuses(model, self.settings) is None]
        self._evaluation_steps = train.evaluation_steps
        self.probing = Probing(self.executor, served, train.steps, self._evaluation_steps)

        if state is None:
            models = [model, *map(self._initial_model, self.runs[1:])]
            state = initial_state(models, self.runs, self.device)
        elif not holds(state, model):
            raise UnfitError("its net has other parts")
        self.state, self.made, self.losses, self.inference = state, 0, [], {}
        self._hyper: Tensors = {}
        self._hyper_for: list[int] = []

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train to the end. Yield what is measured, and a `RunEnd` for each run that leaves the stack.

        The training stops early if `should_stop()` returns true; the runs that are left then have no
        `RunEnd`, and another call continues with them. `should_stop` is called between two chunks of steps,
        after all events of the first. The state is then complete. A trainer that continues from it makes the
        same chunks, so that a run that diverges leaves the stack at the same step.

        If a step raises in a stack of one run because its numbers are not finite, that run has diverged. Any
        other exception passes; its cause is what plain torch raises for the same step, if it raises.
        """
        try:
            yield from self._events(should_stop)
            return
        except NormbenchError:
            raise
        except Exception as failure:
            diverged_at, cause = self._explained(failure)
            if diverged_at is None:
                raise failure from cause
            error = f"{type(failure).__name__.lstrip('_')}: {failure}"
        self._settle(len(self.losses))
        yield from self._layers({0: diverged_at})
        yield replace(self._end(0, "diverged", diverged_at), error=error)
        self._leave([0])

    def _events(self, should_stop: Callable[[], bool]) -> Iterator[Event]:
        steps = self.settings.train.steps
        if self.state.step == 0:
            yield from self._evaluate(last=steps == 0)
        elif self.state.since and self.state.step in self._evaluation_steps:
            yield from self._evaluate(last=False)  # the end of a shorter training, which this one extends
        while self.state.lanes and self.state.step < steps:
            if should_stop():
                return
            target = self._evaluation_steps[bisect_right(self._evaluation_steps, self.state.step)]
            yield from self._train(min(target, self.state.step + CHECK_EVERY))
            if self.state.step == steps and self.state.lanes:
                self.at_end(self.state)
            if self.state.step == target and self.state.lanes:
                yield from self._evaluate(last=target == steps)
        if self.state.lanes:
            yield from self._finish()

    # Training

    def _train(self, until: int) -> Iterator[Event]:
        """Train up to step `until`; then the runs whose loss was not finite leave the stack."""
        start, lanes = self.state.step, range(len(self.state.lanes))
        finite = self._train_steps(until)
        self._settle((until - start) * len(lanes))
        alive = finite.all(0).tolist()
        diverged_at = {
            lane: start + int(finite[:, lane].int().argmin()) + 1 for lane in lanes if not alive[lane]
        }
        yield from self._layers(diverged_at)
        for lane, step in diverged_at.items():
            yield self._end(lane, "diverged", step)
        self._leave(diverged_at)

    def _settle(self, run_steps: int) -> None:
        """Count run steps that were made; a new chunk begins."""
        self.made += run_steps
        self.advance(run_steps)
        self.losses = []

    def _train_steps(self, until: int) -> Tensor:
        """Make the updates up to step `until`, and divide their time among the runs.

        Returns:
            Whether each loss is finite, (steps, R), on the CPU.
        """
        began, probing = time.perf_counter(), self.probing.seconds
        try:
            with torch.no_grad():
                while self.state.step < until:
                    self._train_step()
                return torch.isfinite(torch.stack(self.losses)).cpu()  # waits for the device
        finally:
            seconds = time.perf_counter() - began - (self.probing.seconds - probing)
            for run in self.state.lanes:
                self.state.seconds[run] += seconds / len(self.state.lanes)

    def _train_step(self) -> None:
        """Make one update of all runs, and keep their losses before it."""
        step = self.state.step
        self._probe(step)
        loss, correct = self.executor.step(self.state, self._batch(step), self._hypers(step))
        self.state.count(loss, correct, in_tail=step >= self.settings.train.tail_start)
        self.losses.append(loss)

    def _explained(self, failure: Exception) -> tuple[int | None, Exception | None]:
        """Look why a step raised.

        Returns:
            The number of the update at which the only run diverged, None if its numbers are good or there are
            several runs; and the exception of plain torch, if it raises one.
        """
        state = self.state
        if len(state.lanes) != 1:
            return None, None
        try:
            for place, loss in enumerate(self.losses):
                if not bool(torch.isfinite(loss[0])):
                    return state.step - len(self.losses) + place + 1, None
            run, diverged_at = self.runs[state.lanes[0]], min(state.step + 1, self.settings.train.steps)
            start = initial_state([self._initial_model(run)], [run], self.device)
            if broken(state, start):
                return diverged_at, None
            seen = repeat(self.executor.model, state, self._passes(state.step))
            usual = repeat(self.executor.model, start, self._passes(0))
        except Exception:  # the device, or the data, is at fault
            return None, None
        if usual.error is None and "loss" not in usual.places:
            seen.places -= usual.places  # a mask that is infinite by design
        # torch raises it for numbers alone: a matrix that could be factorized before has become singular.
        numeric = state.step > 0 and isinstance(failure, torch.linalg.LinAlgError)
        return (diverged_at if seen.places or numeric else None), seen.error

    def _passes(self, step: int) -> list[Pass]:
        """Return what the nets of this step look at: its batch, and the other images if it is evaluated."""
        passes: list[Pass] = [(True, self._batch(step).of(0).data)]
        if step == 0 or step in self._evaluation_steps:
            for part in self.evaluator.parts(last=step == self.settings.train.steps).values():
                passes += [(False, (x, y, {})) for x, y in self.evaluator.batches(part)]
        return passes

    def _finish(self) -> Iterator[Event]:
        """Report the last measurements and the end of all runs that are left."""
        with torch.no_grad():
            self._probe(self.settings.train.steps)
        yield from self._layers({})
        for lane in range(len(self.state.lanes)):
            yield self._end(lane, "finished")
        self.state.lanes = []

    def _leave(self, leaving: Collection[int]) -> None:
        """Remove the runs in these lanes; the steps that they no longer need count as settled."""
        state = self.state
        kept = [lane for lane in range(len(state.lanes)) if lane not in leaving]
        if len(kept) == len(state.lanes):
            return
        self.advance(len(leaving) * (self.settings.train.steps - state.step))
        if kept:
            state.keep(kept)
        else:
            state.lanes = []

    # What a step needs

    def _first_images(self, run: RunSpec) -> Tensor:
        """Return the images of the first step of a run, (B, C, H, W), on the CPU."""
        return self.sampler.images(run.seed, 0)[0].cpu()

    def _initial_model(self, run: RunSpec) -> nn.Module:
        shape, classes = self.dataset.input_shape, self.dataset.classes
        return initial_model(run, shape, classes, self._first_images(run))

    def _seeds(self) -> list[int]:
        """Return the seed of the run in each lane."""
        return [self.runs[run].seed for run in self.state.padded]

    def _batch(self, step: int) -> Batch:
        """Return the batch of a step for all lanes."""
        return self.sampler.batch(self._seeds(), step)

    def _hypers(self, step: int) -> Tensors:
        """Return the optimizer's numbers for a step, such as `lr`, (R,) each."""
        optimizer = self.settings.optimizer
        if self._hyper_for != self.state.lanes:
            lanes = [self.runs[run].settings.optimizer for run in self.state.padded]
            fields = {name: [getattr(one, name) for one in lanes] for name in optimizer.per_run}
            dtype = self.dataset.train.x.dtype
            self._hyper = {
                name: torch.tensor(values, dtype=dtype, device=self.device)
                for name, values in fields.items()
                if any(values) or name not in optimizer.switches
            }
            self._hyper_for = list(self.state.lanes)
        factor = self._lr_factor(min(step, self.settings.train.steps - 1))  # after the end, as at the end
        scheduled = self._hyper if factor == 1.0 else {**self._hyper, "lr": self._hyper["lr"] * factor}
        return optimizer.numbers(scheduled, step)

    def _lr_factor(self, step: int) -> float:
        return self.settings.optimizer.schedule.factor(step, self.settings.train.steps)

    # What is measured

    def _probe(self, step: int) -> None:
        """Measure what the probes have due before the update of this step."""
        self.probing.measure(self.state, step, self._batch, lambda: self._hypers(step))

    def _layers(self, diverged_at: Mapping[int, int]) -> Iterator[Layers]:
        """Yield what the probes measured since the last call."""
        yield from self.probing.layers([self.runs[run].run_id for run in self.state.lanes], diverged_at)

    def _evaluate(self, last: bool) -> Iterator[Evaluation | RunEnd]:
        """Evaluate all runs, and restart the means over training batches.

        In the last evaluation, a run diverges if its test loss is not finite.
        """
        state = self.state
        scores = self.evaluator.measure(state, self._seeds(), last)
        val, test = scores.get("val"), scores.get("test")
        if last:
            self.inference = {
                run: _of_lane(scores.get("train"), lane) for lane, run in enumerate(state.lanes)
            }
        train = None
        if state.since:
            train = (state.train_loss / state.since).tolist(), (state.train_correct / state.since).tolist()
        lr_factor = self._lr_factor(max(0, state.step - 1))
        diverged = []
        for lane, run in enumerate(state.lanes):
            if last and test is not None and not torch.isfinite(torch.tensor(test[0][lane])):
                diverged.append(lane)
                continue
            spec = self.runs[run]
            epoch = state.step / self.sampler.steps_per_epoch
            lr = spec.settings.optimizer.lr * lr_factor
            values = (*_of_lane(train, lane), *_of_lane(val, lane), *_of_lane(test, lane))
            yield Evaluation(spec.run_id, state.step, epoch, lr, *values)
        for lane in diverged:
            yield self._end(lane, "diverged", state.step)
        self._leave(diverged)
        state.restart_means()

    def _end(self, lane: int, status: str, diverged_at: int | None = None) -> RunEnd:
        """Return how the run in a lane ended."""
        train, run = self.settings.train, self.state.lanes[lane]
        tail = float(self.state.tail_loss[lane]) / (train.steps - train.tail_start)
        loss, accuracy = self.inference[run] if status == "finished" else (None, None)
        return RunEnd(
            run_id=self.runs[run].run_id,
            status=status,
            steps=diverged_at or self.state.step,
            diverged_at_step=diverged_at,
            train_loss_last_tenth=tail if diverged_at is None else None,
            label_entropy=self.dataset.label_entropy,
            parameters=self.parameters,
            train_seconds=self.state.seconds[run],
            executor=self.executor.name,
            inference_train_loss=loss,
            inference_train_accuracy=accuracy,
            inference_train_images=None if loss is None else len(self.evaluator.training_images),
        )


def _of_lane(scores: Scores | None, lane: int) -> tuple[float | None, float | None]:
    """Return loss and accuracy of one lane; None each where nothing was measured."""
    return (None, None) if scores is None else (scores[0][lane], scores[1][lane])

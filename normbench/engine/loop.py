"""Trains one stack from its state to its end, and tells what it measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from normbench.data import Dataset, Split
from normbench.data.batches import EVAL_ROWS
from normbench.engine.batches import Feed, noise_shapes
from normbench.engine.checkpoint import UnfitError
from normbench.engine.events import Evaluation, Event, RunEnd
from normbench.engine.executor import Batch, Executor
from normbench.engine.looped import Looped
from normbench.engine.probing import Probing
from normbench.engine.state import StackState, holds, initial_model, initial_state
from normbench.engine.vectorized import Vectorized
from normbench.probes import Probe
from normbench.seeding import generator

if TYPE_CHECKING:
    from normbench.planning.runs import RunSpec

EXECUTORS: dict[str, type[Executor]] = {one.name: one for one in (Vectorized, Looped)}
CHECK_EVERY = 25  # steps between looks at the losses: each look waits for the device


class StackTrainer:
    """Trains the runs of one stack, which share all settings but those that may differ in a stack.

    Attributes:
        state: all that changes; a trainer made from a stored state goes on where that one stopped.
        made: steps x runs that this trainer itself made.
    """

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
    ) -> None:
        self.runs, self.dataset, self.advance = list(runs), dataset, advance
        self.settings = self.runs[0].settings
        data, device = self.settings.data, dataset.train.x.device
        self.device = device
        shape, classes = dataset.input_shape, dataset.classes
        plain = Feed(dataset, [run.seed for run in self.runs], data.batch_size, data.augment, {})
        first = plain.images(self.runs[0].seed, 0)[0].cpu()
        # one net is enough to name the parts; the others are built only for a state that starts anew
        model = initial_model(self.runs[0], shape, classes, first)
        places = noise_shapes(model, first)
        self.feed = Feed(dataset, [run.seed for run in self.runs], data.batch_size, data.augment, places)
        if state is None:
            models = [
                model
                if run is self.runs[0]
                else initial_model(run, shape, classes, self.feed.images(run.seed, 0)[0].cpu())
                for run in self.runs
            ]
            state = initial_state(models, self.runs, device)
        elif not holds(state, model):
            raise UnfitError("its net has other parts")
        self.state = state
        self.made = 0
        self.parameters = sum(p.numel() for p in model.parameters())
        self.executor = EXECUTORS[executor](model, self.settings.optimizer, (key, str(device)))
        train = self.settings.train
        served = [probe for probe in probes if probe.refuses(model, self.settings) is None]
        self.probing = Probing(self.executor, served, train.steps, train.evaluation_steps)
        self._hyper: dict[str, Tensor] = {}
        self._hyper_for: list[int] = []

    def events(self, should_stop: Callable[[], bool] = lambda: False) -> Iterator[Event]:
        """Train to the end, yielding what is measured as it comes and a `RunEnd` when a run leaves.

        Stops early when `should_stop()`; then the runs left have no end yet, and another call continues with
        them (`launch.train_stack` takes one chunk per call). It is asked between two chunks
        of steps, after all that they told: the state is whole then, and a trainer made from it makes the
        same chunks, so that a diverged run leaves its stack at the same step.
        """
        steps = self.settings.train.steps
        targets = self.settings.train.evaluation_steps
        if self.state.step == 0:
            yield from self._evaluate(full=steps == 0)
        while self.state.lanes and self.state.step < steps:
            if should_stop():
                return
            target = next(step for step in targets if step > self.state.step)
            yield from self._train(min(target, self.state.step + CHECK_EVERY))
            if self.state.step == target and self.state.lanes:
                yield from self._evaluate(full=target == steps)
        if self.state.lanes:
            with torch.no_grad():
                self._look(steps)
            yield from self._tell({})
        for lane, run in enumerate(list(self.state.lanes)):
            yield self._end(run, "finished", float(self.state.tail_loss[lane]))
        self.state.lanes = []

    def _train(self, until: int) -> Iterator[Event]:
        """Make the updates up to step `until`; let the runs leave whose loss is not finite."""
        state = self.state
        began, start, measuring = time.perf_counter(), state.step, self.probing.seconds
        losses = []
        tail = self.settings.train.tail_start
        with torch.no_grad():
            while state.step < until:
                self._look(state.step)
                batch = self._batch(state.step)
                loss, correct = self.executor.step(state, batch, self._hypers(state.step))
                losses.append(loss)
                state.train_loss.add_(loss)
                state.train_correct.add_(correct)
                if state.step >= tail:
                    state.tail_loss.add_(loss)
                state.step += 1
                state.since += 1
            finite = torch.isfinite(torch.stack(losses)).cpu()  # (steps, R); waits for the device
        training = time.perf_counter() - began - (self.probing.seconds - measuring)
        share = training / len(state.lanes)
        for run in state.lanes:
            state.seconds[run] += share
        self.made += (until - start) * len(state.lanes)
        self.advance((until - start) * len(state.lanes))
        alive = finite.all(0)
        ends = {
            lane: start + int(finite[:, lane].int().argmin()) + 1
            for lane in range(len(state.lanes))
            if not alive[lane]
        }
        yield from self._tell(ends)
        for lane, at in ends.items():
            yield self._end(state.lanes[lane], "diverged", None, at)
        self._leave([lane for lane in range(len(state.lanes)) if alive[lane]])

    def _batch(self, step: int) -> Batch:
        """Return the batch of a step for all runs in the stack."""
        return self.feed.batch([self.runs[run].seed for run in self.state.padded], step)

    def _look(self, step: int) -> None:
        """Let the probes measure what is due before the update of this step."""
        self.probing.look(self.state, step, self._batch, lambda: self._hypers(step))

    def _tell(self, ends: dict[int, int]) -> Iterator[Event]:
        yield from self.probing.tell([self.runs[run].run_id for run in self.state.lanes], ends)

    def _leave(self, kept: list[int]) -> None:
        """Let all lanes but the kept ones go; the steps that they do not need count as done."""
        state = self.state
        if len(kept) == len(state.lanes):
            return
        gone = len(state.lanes) - len(kept)
        self.advance(gone * (self.settings.train.steps - state.step))
        if kept:
            state.keep(kept)
        else:
            state.lanes = []

    def _hypers(self, step: int) -> dict[str, Tensor]:
        """Return the optimiser's numbers for the runs in the stack, each (R,), at this step."""
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
        factor = self._factor(min(step, self.settings.train.steps - 1))  # after the last: as at the last
        scheduled = self._hyper if factor == 1.0 else {**self._hyper, "lr": self._hyper["lr"] * factor}
        return optimizer.numbers(scheduled, step)

    def _factor(self, step: int) -> float:
        return self.settings.optimizer.schedule.factor(step, self.settings.train.steps)

    def _evaluate(self, full: bool) -> Iterator[Evaluation | RunEnd]:
        """Measure all runs of the stack, and begin the next means over training batches."""
        state, measured = self.state, self._population()
        val = self._measure(measured, self.dataset.val)
        test = self._measure(measured, self.dataset.test if full else self._some(self.dataset.test))
        train: tuple[list[float] | None, list[float] | None] = (None, None)
        if state.since:
            train = (state.train_loss / state.since).tolist(), (state.train_correct / state.since).tolist()
        factor = self._factor(max(0, state.step - 1))
        unmeasurable = []
        for lane, run in enumerate(state.lanes):
            spec = self.runs[run]
            if test[0] is not None and not torch.isfinite(torch.tensor(test[0][lane])) and full:
                unmeasurable.append(lane)  # the last update took the weights beyond what can be measured
                continue
            row = [None if part is None else part[lane] for part in (*train, *val, *test)]
            yield Evaluation(
                spec.run_id,
                state.step,
                state.step / self.feed.steps_per_epoch,
                spec.settings.optimizer.lr * factor,
                *row,
            )
        for lane in unmeasurable:
            yield self._end(state.lanes[lane], "diverged", None, state.step)
        self._leave([lane for lane in range(len(state.lanes)) if lane not in unmeasurable])
        state.train_loss.zero_()
        state.train_correct.zero_()
        state.since = 0

    def _some(self, part: Split | None) -> Split | None:
        """Return the test images of the evaluations in between."""
        size = self.settings.train.eval_size
        if part is None or size is None or size >= len(part):
            return part
        if not hasattr(self, "_subset"):
            chosen = torch.randperm(len(part), generator=generator(0, "eval_size"))[:size].to(self.device)
            self._subset = Split(part.x[chosen], part.y[chosen])
        return self._subset

    def _population(self) -> StackState:
        """Return the state to measure: where a normalization asks for it, with statistics made anew.

        They are means over training batches at the present weights; the training goes on with its own.
        """
        layers = {
            f"{name}.momentum": batches
            for name, layer in self.executor.model.named_modules()
            if (batches := getattr(layer, "precise_bn_batches", None)) is not None
        }
        if not layers:
            return self.state
        buffers = {name: tensor.clone() for name, tensor in self.state.buffers.items()}
        state = replace(self.state, buffers=buffers)
        seeds = [self.runs[run].seed for run in state.padded]
        with torch.no_grad():
            for index in range(min(self.feed.steps_per_epoch, max(layers.values()))):
                for name in layers:
                    buffers[name].fill_(1 / (index + 1))  # (1 - 1/k) old + 1/k new: the mean of k batches
                self.executor.forward(state, self.feed.batch(seeds, index), training=True)
        return state

    def _measure(
        self, state: StackState, part: Split | None
    ) -> tuple[list[float] | None, list[float] | None]:
        """Return mean loss and accuracy of every run on a part of the data, at inference."""
        if part is None or not len(part):
            return None, None
        batches = -(-len(part) // EVAL_ROWS)
        rows = -(-len(part) // batches)  # equal batches, so that few shapes are traced
        loss = torch.zeros_like(self.state.train_loss)
        correct = torch.zeros_like(loss)
        with torch.no_grad():
            for start in range(0, len(part), rows):
                sums = self.executor.evaluate(
                    state, part.x[start : start + rows], part.y[start : start + rows]
                )
                loss, correct = loss + sums[0], correct + sums[1]
        return (loss / len(part)).tolist(), (correct / len(part)).tolist()

    def _end(self, run: int, status: str, tail: float | None, diverged_at: int | None = None) -> RunEnd:
        steps = self.settings.train.steps
        return RunEnd(
            run_id=self.runs[run].run_id,
            status=status,
            steps=diverged_at or self.state.step,
            diverged_at_step=diverged_at,
            train_loss_last_tenth=None if tail is None else tail / (steps - self.settings.train.tail_start),
            label_entropy=self.dataset.label_entropy,
            parameters=self.parameters,
            train_seconds=self.state.seconds[run],
            executor=self.executor.name,
        )

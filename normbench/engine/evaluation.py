"""Measures the runs of a stack on the validation and test images."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import torch

from normbench.data import Dataset, Split
from normbench.data.batches import EVAL_ROWS
from normbench.engine.batches import BatchSampler
from normbench.engine.executor import Executor
from normbench.engine.state import StackState
from normbench.seeding import generator

Scores = tuple[list[float], list[float]]  # mean loss in nats and accuracy of each lane


class Evaluator:
    """Measures a stack at inference. Neither the state nor the training changes.

    Args:
        executor: runs the nets.
        dataset: supplies the images.
        sampler: supplies the training batches over which running statistics are averaged again.
        eval_size: number of test images that are used before the last evaluation; None for all.
    """

    def __init__(
        self, executor: Executor, dataset: Dataset, sampler: BatchSampler, eval_size: int | None
    ) -> None:
        self.executor, self.dataset, self.sampler = executor, dataset, sampler
        self.eval_size = eval_size

    def measure(self, state: StackState, seeds: list[int], full: bool) -> tuple[Scores | None, Scores | None]:
        """Return the scores on the validation and on the test images; None for a part without images.

        Args:
            state: of the stack.
            seeds: of the run in each lane.
            full: whether to use all test images, not only `eval_size` of them.
        """
        state = self.with_precise_statistics(state, seeds)
        test = self.dataset.test if full else self._some_test_images
        with torch.no_grad():
            return self._scores(state, self.dataset.val), self._scores(state, test)

    def with_precise_statistics(self, state: StackState, seeds: list[int]) -> StackState:
        """Return the state with new running statistics, for layers that ask for them by `precise_bn_batches`.

        These are means over training batches at the present weights. The training keeps its own statistics.
        """
        layers = {
            f"{name}.momentum": batches
            for name, layer in self.executor.model.named_modules()
            if (batches := getattr(layer, "precise_bn_batches", None)) is not None
        }
        if not layers:
            return state
        buffers = {name: tensor.clone() for name, tensor in state.buffers.items()}
        state = replace(state, buffers=buffers)
        with torch.no_grad():
            for index in range(min(self.sampler.steps_per_epoch, max(layers.values()))):
                for name in layers:
                    buffers[name].fill_(1 / (index + 1))  # (1 - 1/k) old + 1/k new: the mean of k batches
                self.executor.forward(state, self.sampler.batch(seeds, index), training=True)
        return state

    def _scores(self, state: StackState, part: Split | None) -> Scores | None:
        if part is None or not len(part):
            return None
        batches = -(-len(part) // EVAL_ROWS)
        rows = -(-len(part) // batches)  # batches of equal size, because each size needs a trace
        loss, correct = torch.zeros_like(state.train_loss), torch.zeros_like(state.train_loss)
        for start in range(0, len(part), rows):
            stop = start + rows
            sums = self.executor.evaluate(state, part.x[start:stop], part.y[start:stop])
            loss, correct = loss + sums[0], correct + sums[1]
        return (loss / len(part)).tolist(), (correct / len(part)).tolist()

    @cached_property
    def _some_test_images(self) -> Split | None:
        """Return the test images of all evaluations but the last."""
        part, size = self.dataset.test, self.eval_size
        if part is None or size is None or size >= len(part):
            return part
        chosen = torch.randperm(len(part), generator=generator(0, "eval_size"))[:size].to(part.x.device)
        return Split(part.x[chosen], part.y[chosen])

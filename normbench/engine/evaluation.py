"""Measures the runs of a stack at inference, on validation, test and training images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from normbench.data import Dataset, Split
from normbench.data.batches import inference_rows
from normbench.engine.batches import BatchSampler
from normbench.engine.executor import Executor
from normbench.engine.state import StackState
from normbench.seeding import generator

Scores = tuple[list[float], list[float]]  # mean loss in nats and accuracy of each lane


class Evaluator:
    """Measures a stack at inference. Neither the state nor the training changes.

    After the last step it also measures training images, as they are, without augmentation and with the
    labels of the training: as many as there are test images, or all if these are fewer. The choice is the
    same for all runs.

    Args:
        executor: runs the nets.
        dataset: supplies the images.
        sampler: supplies the training batches over which running statistics are averaged again.
        eval_size: number of test images that are used before the last evaluation; None for all.
        batch_size: images in a batch; None for equal batches of the usual size.
    """

    def __init__(
        self,
        executor: Executor,
        dataset: Dataset,
        sampler: BatchSampler,
        eval_size: int | None,
        batch_size: int | None = None,
    ) -> None:
        self.executor, self.dataset, self.sampler = executor, dataset, sampler
        self.eval_size, self.batch_size = eval_size, batch_size

    def parts(self, last: bool) -> dict[str, Split]:
        """Return the images to measure, by their part: `val`, `test` and, after the last step, `train`.

        Before the last evaluation, only `eval_size` of the test images are used.
        """
        parts = {"val": self.dataset.val, "test": self.dataset.test if last else self._some_test_images}
        if last:
            parts["train"] = self.training_images
        return {name: part for name, part in parts.items() if part is not None and len(part)}

    def measure(self, state: StackState, seeds: list[int], last: bool) -> dict[str, Scores]:
        """Return the scores on each of the `parts`.

        Args:
            state: of the stack.
            seeds: of the run in each lane.
            last: whether this is the evaluation after the last step.
        """
        state = self.with_precise_statistics(state, seeds)
        with torch.no_grad():
            scores = {}
            for name, part in self.parts(last).items():
                # What a layer writes at inference must be that of the validation and test images.
                scores[name] = self._scores(_copied(state) if name == "train" else state, part)
            return scores

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
        state = _copied(state)
        buffers = state.buffers
        with torch.no_grad():
            for index in range(min(self.sampler.steps_per_epoch, max(layers.values()))):
                for name in layers:
                    buffers[name].fill_(1 / (index + 1))  # (1 - 1/k) old + 1/k new: the mean of k batches
                self.executor.forward(state, self.sampler.batch(seeds, index), training=True)
        return state

    def batches(self, part: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels of a part in the batches in which it is measured."""
        rows = inference_rows(len(part), self.batch_size)
        for start in range(0, len(part), rows):
            yield part.x[start : start + rows], part.y[start : start + rows]

    def _scores(self, state: StackState, part: Split) -> Scores:
        loss, correct = torch.zeros_like(state.train_loss), torch.zeros_like(state.train_loss)
        for x, y in self.batches(part):
            sums = self.executor.evaluate(state, x, y)
            loss, correct = loss + sums[0], correct + sums[1]
        return (loss / len(part)).tolist(), (correct / len(part)).tolist()

    @cached_property
    def _some_test_images(self) -> Split:
        """Return the test images of all evaluations but the last."""
        return _some(self.dataset.test, self.eval_size, "eval_size")

    @cached_property
    def training_images(self) -> Split:
        """Return the training images that are measured after the last step."""
        return _some(self.dataset.train, len(self.dataset.test), "inference_train")


def _copied(state: StackState) -> StackState:
    """Return the state with buffers of its own."""
    return replace(state, buffers={name: tensor.clone() for name, tensor in state.buffers.items()})


def _some(part: Split, size: int | None, place: str) -> Split:
    """Return `size` images of a part, chosen at random by `place`; all if there are no more, or for None."""
    if size is None or size >= len(part):
        return part
    chosen = torch.randperm(len(part), generator=generator(0, place))[:size].to(part.x.device)
    return Split(part.x[chosen], part.y[chosen])

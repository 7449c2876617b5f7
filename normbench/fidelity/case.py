"""A cell of a plan as a small case: two runs on random images that a loop and the engine both train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from normbench.config import Settings
from normbench.config.schema import Train
from normbench.data import Dataset, DatasetInfo, Split
from normbench.engine.batches import BatchSampler, noise_shapes
from normbench.engine.events import Evaluation
from normbench.engine.loop import StackTrainer
from normbench.engine.state import initial_model, part
from normbench.fidelity.reference import History, PlainRun, Tensors
from normbench.planning.runs import RunSpec
from normbench.planning.stacks import stack_key
from normbench.seeding import generator

STEPS = 3
MORE = 7  # test images than a batch has, so that no layer can depend on equal sizes unnoticed
BATCHES = 2  # of an epoch: the third step begins a new one
RATES = (
    1e-3,
    0.1,
)  # the rates of a case lie between these, so that its numbers neither stand still nor explode
# What may differ within a stack does: the second run's rates, dropout and gain of the initial weights, as a
# share of the first one's.
BESIDE = 0.7


@dataclass(frozen=True)
class Case:
    """Two runs of one stack.

    Attributes:
        settings: of the first run; the second has another seed and other rates.
        info: shapes of the data set.
        dtype: of weights and images.
    """

    settings: Settings
    info: DatasetInfo
    dtype: torch.dtype = torch.float64

    @cached_property
    def runs(self) -> list[RunSpec]:
        """Return the two runs."""
        settings = self.settings
        lr = min(max(settings.optimizer.lr, RATES[0]), RATES[1])
        train = Train(
            steps=STEPS, eval_every=1, dtype="float32" if self.dtype == torch.float32 else "float64"
        )
        data = settings.data.model_copy(
            update={"train_size": None, "val_size": 0, "test_size": None, "label_noise": 0.0}
        )
        optimizer, model = settings.optimizer, settings.model
        first = settings.model_copy(
            update={"train": train, "data": data, "optimizer": optimizer.model_copy(update={"lr": lr})}
        )
        numbers = {name: getattr(first.optimizer, name) for name in optimizer.per_run}
        less = {name: value * BESIDE for name, value in numbers.items() if isinstance(value, float)}
        parts = {
            "dropout": model.dropout.model_copy(update={"rate": model.dropout.rate * BESIDE}),
            "init": model.init.model_copy(update={"gain": model.init.gain * BESIDE}),
        }
        second = first.model_copy(
            update={
                "optimizer": first.optimizer.model_copy(update=less),
                "model": model.model_copy(update=parts),
            }
        )
        return [RunSpec(f"check-{seed}", seed, one, {}) for seed, one in enumerate((first, second))]

    @cached_property
    def dataset(self) -> Dataset:
        """Return random images and labels."""
        shape, classes = self.info.input_shape, self.info.classes
        rng = generator(0, "fidelity")

        def part(count: int) -> Split:
            x = torch.randn(count, *shape, generator=rng, dtype=torch.float64).to(self.dtype)
            return Split(x, torch.randint(0, classes, (count,), generator=rng))

        names = tuple(map(str, range(classes)))
        images = BATCHES * self.settings.data.batch_size
        return Dataset(
            "random", part(images), None, part(self.settings.data.batch_size + MORE), classes, names, 1.0
        )

    def net(self, run: RunSpec) -> nn.Module:
        """Return the untrained net of a run."""
        return initial_model(run, self.info.input_shape, self.info.classes, self._first_images(run))

    @cached_property
    def sampler(self) -> BatchSampler:
        """Return the source of the batches and of the noisy layers' numbers."""
        data = self.settings.data
        sampler = BatchSampler(self.dataset, [run.seed for run in self.runs], data.batch_size, data.augment)
        run = self.runs[0]
        x = sampler.images(run.seed, 0)[0]
        sampler.noise_shapes = noise_shapes(
            initial_model(run, self.info.input_shape, self.info.classes, x), x
        )
        return sampler

    def _first_images(self, run: RunSpec) -> torch.Tensor:
        return self.sampler.images(run.seed, 0)[0]

    def plain(self, place: int = 0) -> PlainRun:
        """Return one of the runs in plain torch, untrained."""
        run = self.runs[place]
        return PlainRun(run, self.dataset, self.sampler, self.net(run))

    def engine(self, executor: str) -> tuple[list[History], list[Tensors]]:
        """Train both runs in the engine, as one stack; return what was measured and the final tensors."""
        trainer = StackTrainer(self.runs, self.dataset, executor, stack_key(self.runs[0].settings))
        histories = {run.run_id: History() for run in self.runs}
        for event in trainer.events():
            if isinstance(event, Evaluation):
                history = histories[event.run_id]
                if event.train_loss is not None:
                    history.train.append(event.train_loss)
                if event.test_loss is not None:
                    history.test.append(event.test_loss)
        state = trainer.state
        named = {**state.params, **state.buffers}
        tensors = [part(named, lane) for lane in range(len(self.runs))]
        return list(histories.values()), tensors


@contextmanager
def double_precision(dtype: str) -> Iterator[None]:
    """Make float64 the default of torch for a block, unless the training itself has this type.

    A layer that makes tensors of the default type (`torch.eye(n)`) is then in float64 what it is in the
    float32 training.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if dtype == "float32" else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)

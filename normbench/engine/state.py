"""The state of a stack: everything that changes while it trains, and all that a checkpoint needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from normbench.models.build import build_net
from normbench.models.init import initialize, initialize_from_batch
from normbench.nn.holding import trained, untrained
from normbench.seeding import key, seeded

if TYPE_CHECKING:
    from normbench.planning.runs import RunSpec

Tensors = dict[str, Tensor]


@dataclass
class StackState:
    """Everything that changes while a stack trains. The first axis of every tensor is the run axis.

    A lane is a place on the run axis. Each run that is still in the stack has one. If one run is left, the
    tensors keep a second, idle lane with a copy of that run, because torch uses other kernels, with other
    bits, for a stack of one. So R is the number of runs left, and at least 2.

    Attributes:
        step: number of updates made so far.
        lanes: for each run that is left, its index in the stack's list of runs, in the order of the run axis.
        params: trained parameters of the nets by name, (R, ...).
        buffers: buffers and parameters that are not trained, by name, (R, ...).
        optimizer: tensors of the optimizer by its name for them and by parameter, (R, ...).
        train_loss: sum of the batches' mean losses since the last evaluation, (R,), float64 (float32 on mps,
            which has no float64).
        train_correct: sum of the batches' accuracies since the last evaluation, (R,), likewise.
        since: number of batches in these two sums.
        tail_loss: sum of the losses over the last tenth of the steps, (R,), likewise.
        seconds: share of the training time that each run of the stack has used, for all runs it began with.
        lengths: bytes of each part file that belong to this state.
    """

    step: int
    lanes: list[int]
    params: Tensors
    buffers: Tensors
    optimizer: dict[str, Tensors]
    train_loss: Tensor
    train_correct: Tensor
    since: int
    tail_loss: Tensor
    seconds: list[float]
    lengths: dict[str, int] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Return R, the number of lanes including an idle one."""
        return self.train_loss.shape[0]

    @property
    def padded(self) -> list[int]:
        """Return the run in each of the R lanes; an idle lane repeats the only run."""
        return _padded(self.lanes)

    def filled(self, values: Tensor) -> Tensor:
        """Return values of the R lanes from those of the runs; an idle lane repeats the only value."""
        return values if len(values) == self.width else values[_padded(range(len(values)))]

    def count(self, loss: Tensor, correct: Tensor, *, in_tail: bool) -> None:
        """Count one update and add what it measured, (R,) each, to the sums."""
        self.train_loss.add_(loss)
        self.train_correct.add_(correct)
        if in_tail:
            self.tail_loss.add_(loss)
        self.step += 1
        self.since += 1

    def restart_means(self) -> None:
        """Restart the sums of the training batches, after an evaluation has reported them."""
        self.train_loss.zero_()
        self.train_correct.zero_()
        self.since = 0

    def keep(self, positions: Sequence[int]) -> None:
        """Keep only the runs at these positions, at least one. The others take no more time or memory."""
        self.lanes = [self.lanes[position] for position in positions]
        chosen = torch.tensor(_padded(positions), device=self.train_loss.device)

        def select(tensors: Tensors) -> Tensors:
            return {name: tensor.index_select(0, chosen) for name, tensor in tensors.items()}

        self.params, self.buffers = select(self.params), select(self.buffers)
        self.optimizer = {name: select(tensors) for name, tensors in self.optimizer.items()}
        self.train_loss = self.train_loss.index_select(0, chosen)
        self.train_correct = self.train_correct.index_select(0, chosen)
        self.tail_loss = self.tail_loss.index_select(0, chosen)

    def of(self, positions: Sequence[int]) -> StackState:
        """Return the state of a new stack made of the runs at these positions, in this order."""
        subset = replace(self)
        subset.keep(positions)
        subset.seconds = [self.seconds[run] for run in subset.lanes]
        subset.lanes, subset.lengths = list(range(len(positions))), {}
        return subset


def part(tensors: Mapping[str, Tensor], lanes: slice | int) -> Tensors:
    """Return the part of stacked tensors for these lanes; a single lane has no run axis."""
    return {name: tensor[lanes] for name, tensor in tensors.items()}


def holds(state: StackState, model: nn.Module) -> bool:
    """Return whether the state has exactly the parameters and buffers of this net."""
    parts = [(state.params, trained(model).items()), (state.buffers, untrained(model).items())]
    return all(
        {name: tensor.shape[1:] for name, tensor in tensors.items()} == {name: t.shape for name, t in named}
        for tensors, named in parts
    )


def _padded(lanes: Sequence[int]) -> list[int]:
    """Return the lanes, and a single one twice."""
    return list(lanes) * 2 if len(lanes) == 1 else list(lanes)


def initial_model(run: RunSpec, input_shape: tuple[int, ...], classes: int, batch: Tensor) -> nn.Module:
    """Return the untrained net of a run.

    Args:
        run: its settings and seed.
        input_shape: of one image, (C, H, W).
        classes: number of classes.
        batch: images of the first step, (B, C, H, W), which some normalizations look at.

    Returns:
        The net on the CPU, in the dtype of the batch.
    """
    options = run.settings.model
    model = build_net(options, input_shape, classes, seed=run.seed)
    with seeded(key(run.seed, "initialize")):  # a parametrization of the user may draw
        initialize(model, options.init, run.seed)
        model = model.to(batch.dtype)
        initialize_from_batch(model, batch)
    return model


def initial_state(models: Sequence[nn.Module], runs: Sequence[RunSpec], device: torch.device) -> StackState:
    """Return the state before the first step: the nets of all runs, in order, stacked on the device."""
    lanes = list(range(len(runs)))
    padded = _padded(lanes)

    def stacked(named: Sequence[Tensors]) -> Tensors:
        return {name: torch.stack([named[lane][name] for lane in padded]).to(device) for name in named[0]}

    params = stacked([{name: p.detach() for name, p in trained(net).items()} for net in models])
    precise = torch.float32 if device.type == "mps" else torch.float64
    sums = [torch.zeros(len(padded), dtype=precise, device=device) for _ in range(3)]
    return StackState(
        step=0,
        lanes=lanes,
        params=params,
        buffers=stacked([untrained(net) for net in models]),
        optimizer=runs[0].settings.optimizer.initial_state(params),
        train_loss=sums[0],
        train_correct=sums[1],
        since=0,
        tail_loss=sums[2],
        seconds=[0.0] * len(runs),
    )

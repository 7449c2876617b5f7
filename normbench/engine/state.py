"""The whole state of a stack in one plain structure: what a checkpoint writes, and nothing else is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from normbench.models.build import build_net
from normbench.models.init import initialize, initialize_from_batch

if TYPE_CHECKING:
    from normbench.planning.runs import RunSpec

Tensors = dict[str, Tensor]


@dataclass
class StackState:
    """Everything that changes while a stack trains.

    The first axis of every tensor is the run axis. `lanes` names the runs still in the stack, in order; when
    one is left the tensors have a second, idle lane, since torch takes other kernels for a stack of one.

    Attributes:
        step: updates made so far.
        lanes: index, in the stack's list of runs, of the run in each lane.
        params, buffers: the model's, (R, ...).
        optimizer: the optimiser's tensors by name and parameter.
        train_loss, train_correct: sums over the batches since the last evaluation, (R,), float64
            (float32 on mps, which has no float64).
        since: batches in these sums.
        tail_loss: sum of the losses of the last tenth of the steps, (R,), likewise.
        seconds: training time of each run of the stack so far, its share of the stack's, (all runs,).
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
        """Return the number of lanes, the idle one included."""
        return self.train_loss.shape[0]

    @property
    def padded(self) -> list[int]:
        """Return the run in each lane; the idle one repeats the only run."""
        return _padded(self.lanes)

    def filled(self, values: Tensor) -> Tensor:
        """Return one value for each lane from one for each run, (R,)."""
        return values if len(values) == self.width else values[_padded(range(len(values)))]

    def keep(self, positions: Sequence[int]) -> None:
        """Let all runs but those at these positions leave; they cost nothing from here on."""
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
        """Return the state of a stack that has the runs at these positions alone, in this order."""
        part = replace(self)
        part.keep(positions)
        part.seconds = [self.seconds[run] for run in part.lanes]
        part.lanes, part.lengths = list(range(len(positions))), {}
        return part


def holds(state: StackState, model: nn.Module) -> bool:
    """Say whether the state has the parameters and buffers of this net."""
    parts = [(state.params, model.named_parameters()), (state.buffers, model.named_buffers())]
    return all(
        {name: tensor.shape[1:] for name, tensor in tensors.items()} == {name: t.shape for name, t in named}
        for tensors, named in parts
    )


def _padded(lanes: Sequence[int]) -> list[int]:
    """Return the lanes, a single one twice: torch takes other kernels for a stack of one."""
    return list(lanes) * 2 if len(lanes) == 1 else list(lanes)


def initial_model(run: RunSpec, input_shape: tuple[int, ...], classes: int, batch: Tensor) -> nn.Module:
    """Return the run's untrained net in the dtype of its first batch."""
    options = run.settings.model
    model = build_net(options, input_shape, classes, seed=run.seed)
    initialize(model, options.init, run.seed)
    model = model.to(batch.dtype)
    initialize_from_batch(model, batch)
    return model


def initial_state(models: Sequence[nn.Module], runs: Sequence[RunSpec], device: torch.device) -> StackState:
    """Stack the nets of all runs into the state before the first step."""
    lanes = list(range(len(runs)))
    padded = _padded(lanes)
    params = {
        name: torch.stack([dict(models[lane].named_parameters())[name].detach() for lane in padded]).to(
            device
        )
        for name, _ in models[0].named_parameters()
    }
    buffers = {
        name: torch.stack([dict(models[lane].named_buffers())[name] for lane in padded]).to(device)
        for name, _ in models[0].named_buffers()
    }
    precise = torch.float32 if device.type == "mps" else torch.float64
    sums = [torch.zeros(len(padded), dtype=precise, device=device) for _ in range(3)]
    return StackState(
        step=0,
        lanes=lanes,
        params=params,
        buffers=buffers,
        optimizer=runs[0].settings.optimizer.state(params),
        train_loss=sums[0],
        train_correct=sums[1],
        since=0,
        tail_loss=sums[2],
        seconds=[0.0] * len(runs),
    )

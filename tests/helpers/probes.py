"""Small stacks with probes, and one run written out with plain torch to hold a probe against."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from helpers.engine import runs_of, trainer
from normbench.engine.events import Evaluation, Layers, RunEnd
from normbench.planning.runs import RunSpec
from normbench.probes import PROBES, Probe

FLOAT64 = {"dtype": "float64"}
Rows = dict[tuple[str, int], dict[tuple[str, str], float]]  # (run id, step) -> (layer, quantity) -> value


def probe(name: str, **options: Any) -> Probe:
    return PROBES[name](name=name, **options)


def measured(
    runs: list[RunSpec], *probes: Probe, executor: str = "vectorized"
) -> tuple[Rows, list[Evaluation], list[RunEnd]]:
    """Train a stack; return what its probes measured, its rows of metrics and its ends."""
    rows: Rows = {}
    evaluations, ends = [], []
    for event in trainer(runs, executor, probes=probes).events():
        if isinstance(event, Layers):
            assert (event.run_id, event.step) not in rows
            rows[event.run_id, event.step] = {(layer, what): value for layer, what, value in event.rows}
        elif isinstance(event, Evaluation):
            evaluations.append(event)
        else:
            ends.append(event)
    return rows, evaluations, ends


class Plain:
    """One run of a stack at a step, before its update, for references written with autograd and loops."""

    def __init__(self, runs: list[RunSpec], index: int, step: int) -> None:
        self.trainer = trainer(runs)
        if step:
            with torch.no_grad():
                for _ in self.trainer._train(step):
                    pass
        state, self.step = self.trainer.state, step
        self.net, self.seed = self.trainer.executor.model, runs[index].seed
        self.params = {name: value[index].clone() for name, value in state.params.items()}
        self.buffers = {name: value[index].clone() for name, value in state.buffers.items()}
        self.rate = runs[index].settings.optimizer.lr
        self.x, self.y = self.trainer.sampler.images(self.seed, step)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        return self.trainer.sampler.images(self.seed, step)

    def logits(self, params: dict[str, Tensor], x: Tensor | None = None, training: bool = True) -> Tensor:
        self.net.train(training)
        buffers = {name: value.clone() for name, value in self.buffers.items()}
        return functional_call(self.net, ({**self.params, **params}, buffers), (self.x if x is None else x,))

    def loss(self, params: dict[str, Tensor], batch: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x, y = batch or (self.x, self.y)
        return F.cross_entropy(self.logits(params, x), y)

    def grads(
        self, params: dict[str, Tensor], batch: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        leaves = {name: value.detach().clone().requires_grad_() for name, value in params.items()}
        found = torch.autograd.grad(self.loss(leaves, batch), list(leaves.values()))
        return dict(zip(leaves, found, strict=True))

    def stepped(self) -> dict[str, Tensor]:
        """The parameters after a step of plain SGD."""
        return {name: self.params[name] - self.rate * grad for name, grad in self.grads(self.params).items()}


def of_layer(tensors: dict[str, Tensor], layer: str) -> Tensor:
    """All numbers of a layer of an MLP, in one row."""
    own = [value.flatten() for name, value in tensors.items() if name.startswith(f"{layer}.")]
    return torch.cat(own)


def small(**parts: Any) -> list[RunSpec]:
    """Two runs of a small net in float64."""
    train = {"steps": 6, "eval_every": 3, "dtype": "float64", **parts.pop("train", {})}
    model = {"depth": 2, "width": 10, "activation": "sigmoid", **parts.pop("model", {})}
    return runs_of(seeds=2, model=model, train=train, **parts)

"""A run in plain torch: an ordinary loop over one net, to compare the engine with."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.data import Dataset
from normbench.engine.batches import BatchSampler
from normbench.nn.holding import trained, untrained
from normbench.nn.layers import noise
from normbench.nn.torch_private import traceable
from normbench.planning.runs import RunSpec

Tensors = dict[str, Tensor]


@dataclass
class History:
    """What was measured: losses of the training batches, and of the test images before and after each."""

    train: list[float] = field(default_factory=list)
    test: list[float] = field(default_factory=list)


class PlainRun:
    """Trains one net as a torch loop does.

    Args:
        run: settings and seed.
        dataset: images to train and test on.
        sampler: supplies the batches and the numbers of the noisy layers, the same as for the engine.
        net: the untrained net; it is trained in place.
    """

    def __init__(self, run: RunSpec, dataset: Dataset, sampler: BatchSampler, net: nn.Module) -> None:
        self.run, self.dataset, self.sampler, self.net = run, dataset, sampler, net
        self.optimizer = run.settings.optimizer
        self.params = trained(net)
        self.history = History()
        self.step = 0
        self.before_forward: Callable[[], None] = lambda: None
        plain = {name: param.detach() for name, param in self.params.items()}
        if self.optimizer.stacked:
            plain = {name: param.unsqueeze(0) for name, param in plain.items()}
        self.state = self.optimizer.state(plain)

    def forward(self) -> Tensor:
        """Return the loss on the batch of this step, in training mode."""
        batch = self.sampler.batch([self.run.seed], self.step)
        self.net.train()
        self.before_forward()
        with noise(batch.noise), traceable():
            return F.cross_entropy(self.net(batch.x), batch.y)

    def train(self) -> None:
        """Make one update."""
        for param in self.params.values():
            param.grad = None
        loss = self.forward()
        loss.backward()  # type: ignore[no-untyped-call]
        self.update({name: param.grad for name, param in self.params.items() if param.grad is not None})
        self.history.train.append(loss.item())
        self.step += 1

    def update(self, grads: Tensors) -> None:
        """Update the parameters by the optimizer's rule, for this run alone."""
        params = {name: self.params[name].detach() for name in grads}
        with torch.no_grad():
            self.apply(params, grads, self.state, bool(self.optimizer.stacked))

    def apply(self, params: Tensors, grads: Tensors, state: dict[str, Tensors], stacked: bool) -> None:
        """Apply the rule to one run, in place.

        Args:
            params: parameters by name, without a run axis.
            grads: gradients by name, without a run axis.
            state: the optimizer's tensors, with a run axis of size one if `stacked`.
            stacked: whether the rule gets tensors with a run axis of size one.
        """
        optimizer, one = self.optimizer, {name: grad.unsqueeze(0) for name, grad in grads.items()}
        if optimizer.clip_norm is not None:
            one = clipped(one, optimizer.clip_norm)
        hyper = self.hyper()
        if stacked:
            optimizer.update({name: p.unsqueeze(0) for name, p in params.items()}, one, state, hyper)
        else:
            grads = {name: grad.squeeze(0) for name, grad in one.items()}
            optimizer.update(params, grads, state, {name: value.squeeze(0) for name, value in hyper.items()})

    def hyper(self) -> Tensors:
        """Return the optimizer's numbers for this step, (1,) each."""
        optimizer, dtype = self.optimizer, self.dataset.train.x.dtype
        factor = optimizer.schedule.factor(self.step, self.run.settings.train.steps)
        values = {name: getattr(optimizer, name) for name in optimizer.per_run}
        chosen = {name: value for name, value in values.items() if value or name not in optimizer.switches}
        numbers = {name: torch.tensor([float(value)], dtype=dtype) for name, value in chosen.items()}
        return optimizer.numbers({**numbers, "lr": numbers["lr"] * factor}, self.step)

    def evaluate(self) -> None:
        """Measure the loss on the test images, at inference."""
        net = self.net
        if any(getattr(layer, "precise_bn_batches", None) is not None for layer in net.modules()):
            net = self._with_precise_statistics()
        net.eval()
        self.before_forward()
        with torch.no_grad(), traceable():
            self.history.test.append(
                F.cross_entropy(net(self.dataset.test.x.clone()), self.dataset.test.y).item()
            )

    def _with_precise_statistics(self) -> nn.Module:
        """Return a copy of the net whose running statistics are means over training batches."""
        net = copy.deepcopy(self.net).train()
        layers = [m for m in net.modules() if getattr(m, "precise_bn_batches", None) is not None]
        most: int = max(layer.precise_bn_batches for layer in layers)  # type: ignore[type-var, assignment]
        with torch.no_grad():
            for index in range(min(self.sampler.steps_per_epoch, most)):
                for layer in layers:
                    layer.momentum.fill_(1 / (index + 1))  # type: ignore[operator, union-attr]
                batch = self.sampler.batch([self.run.seed], index)
                with noise(batch.noise):
                    net(batch.x)
        return net

    def tensors(self) -> Tensors:
        """Return parameters and buffers by name."""
        return {name: tensor.detach() for name, tensor in {**self.params, **untrained(self.net)}.items()}


def clipped(grads: Tensors, most: float) -> Tensors:
    """Return gradients whose norm over all parameters is at most `most`."""
    norm = torch.cat([grad.flatten() for grad in grads.values()]).norm()
    factor = (most / (norm + 1e-6)).clamp(max=1.0)
    return {name: grad * factor for name, grad in grads.items()}

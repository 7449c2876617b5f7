"""Runs fused by hand, as HFTA does (Wang et al. 2021, arXiv:2102.02344): one net whose layers hold all runs.

Linear layers of all runs are one batched product, and their batch normalizations one layer with the units of
all runs. The losses are added up, so that each run gets its own gradient. MLP with or without batch
normalization.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from data import tensors
from torch import Tensor, nn
from torch.nn import functional as F
from work import Took, Work, clock, main


class FusedLinear(nn.Module):
    """Linear layers of several runs, (R, B, inputs) to (R, B, outputs)."""

    def __init__(self, runs: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(runs, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(runs, 1, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class FusedBatchNorm(nn.Module):
    """Batch normalizations of several runs as one layer of all their units."""

    def __init__(self, runs: int, units: int) -> None:
        super().__init__()
        self.layer = nn.BatchNorm1d(runs * units)

    def forward(self, x: Tensor) -> Tensor:
        runs, batch, units = x.shape
        flat = self.layer(x.transpose(0, 1).reshape(batch, runs * units))
        return flat.view(batch, runs, units).transpose(0, 1)


def fused(work: Work) -> nn.Module:
    activation = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU}[work.activation]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([784, *[work.width] * work.depth]):
        layers.append(FusedLinear(work.runs, inputs, outputs))
        if work.norm == "batchnorm":
            layers.append(FusedBatchNorm(work.runs, outputs))
        layers.append(activation())
    return nn.Sequential(*layers, FusedLinear(work.runs, work.width, 10))


def train(work: Work) -> Took:
    began = clock()
    x, y, test_x, test_y = tensors(work)
    x, test_x = x.flatten(1), test_x.flatten(1)
    torch.manual_seed(work.seeds[0])
    net = fused(work)
    rates = torch.tensor(work.rates).repeat(len(work.seeds))  # of each run, seeds outside
    parameters = list(net.parameters())
    of_each = [
        rates.repeat_interleave(len(p) // work.runs).view(-1, *[1] * (p.dim() - 1)) for p in parameters
    ]
    startup = clock() - began
    began = clock()
    order = [torch.randperm(len(x)) for _ in work.seeds]
    for at in range(work.steps):
        start = at * work.batch % (len(x) // work.batch * work.batch)
        if start == 0 and at:
            order = [torch.randperm(len(x)) for _ in work.seeds]
        index = torch.stack([one[start : start + work.batch] for one in order])
        images = x[index].repeat_interleave(len(work.rates), 0)  # (R, B, 784)
        labels = y[index].repeat_interleave(len(work.rates), 0)
        logits = net(images)
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum") / work.batch
        net.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter, own in zip(parameters, of_each, strict=True):
                parameter -= own * parameter.grad
    net.eval()
    right = torch.zeros(work.runs)
    with torch.no_grad():
        for images, labels in zip(test_x.split(1000), test_y.split(1000), strict=True):
            found = net(images.expand(work.runs, -1, -1)).argmax(2)
            right += (found == labels).sum(1)
    accuracies = (right / len(test_x)).tolist()
    return Took(clock() - began, startup, work.runs, work.steps, accuracies)


if __name__ == "__main__":
    main(train)

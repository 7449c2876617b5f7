"""torch.func by hand: `vmap` over seeds and rates of the gradient of one run's loss; `--compile` compiles it.

MLP with or without batch normalization, written as functions of tensors, as `torch.func` wants them. The
batch of a seed is gathered once and shared by its rates.
"""

from __future__ import annotations

import math
import sys
from itertools import pairwise

import torch
from data import tensors
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional as F
from work import Took, Work, clock, main

COMPILE = "--compile" in sys.argv
Tensors = dict[str, Tensor]


def initial(work: Work) -> tuple[Tensors, Tensors]:
    """Return weights as torch's default draws them, and running statistics."""
    params: Tensors = {}
    stats: Tensors = {}
    sizes = [784, *[work.width] * work.depth, 10]
    for layer, (inputs, outputs) in enumerate(pairwise(sizes)):
        bound = 1 / math.sqrt(inputs)
        params[f"w{layer}"] = torch.empty(inputs, outputs).uniform_(-bound, bound)
        if work.norm == "batchnorm" and layer < work.depth:
            params |= {f"gamma{layer}": torch.ones(outputs), f"beta{layer}": torch.zeros(outputs)}
            stats |= {f"mean{layer}": torch.zeros(outputs), f"var{layer}": torch.ones(outputs)}
        else:
            params[f"b{layer}"] = torch.empty(outputs).uniform_(-bound, bound)
    return params, stats


def forward(work: Work, params: Tensors, stats: Tensors, x: Tensor, training: bool) -> tuple[Tensor, Tensors]:
    activation = {"sigmoid": torch.sigmoid, "relu": torch.relu}[work.activation]
    new: Tensors = {}
    for layer in range(work.depth):
        x = x @ params[f"w{layer}"]
        if f"gamma{layer}" in params:
            mean, var = stats[f"mean{layer}"], stats[f"var{layer}"]
            if training:
                count = x.shape[0]
                batch_mean, batch_var = x.mean(0), x.var(0, correction=0)
                new[f"mean{layer}"] = 0.9 * mean + 0.1 * batch_mean
                new[f"var{layer}"] = 0.9 * var + 0.1 * batch_var * (count / (count - 1))
                mean, var = batch_mean, batch_var
            x = (x - mean) * (torch.rsqrt(var + 1e-5) * params[f"gamma{layer}"]) + params[f"beta{layer}"]
        else:
            x = x + params[f"b{layer}"]
        x = activation(x)
    return x @ params[f"w{work.depth}"] + params[f"b{work.depth}"], new


def train(work: Work) -> Took:
    began = clock()
    x, y, test_x, test_y = tensors(work)
    x, test_x = x.flatten(1), test_x.flatten(1)
    rates = torch.tensor(work.rates)

    def loss(params: Tensors, stats: Tensors, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensors]:
        logits, new = forward(work, params, stats, images, True)
        return F.cross_entropy(logits, labels), new

    def update(params: Tensors, stats: Tensors, rate: Tensor, images: Tensor, labels: Tensor):
        grads, new = grad(loss, has_aux=True)(params, stats, images, labels)
        return {name: value - rate * grads[name] for name, value in params.items()}, new

    over_rates = vmap(update, (0, 0, 0, None, None))
    step = vmap(over_rates, (0, 0, None, 0, 0))
    program = torch.compile(step) if COMPILE else step

    starts, orders = [], []
    for seed in work.seeds:
        torch.manual_seed(seed)
        starts.append(initial(work))
        order: list[Tensor] = []
        while len(order) < work.steps:
            order += torch.randperm(len(x))[: len(x) // work.batch * work.batch].view(-1, work.batch)
        orders.append(torch.stack(order[: work.steps]))
    params, stats = (
        {
            name: torch.stack([one[name] for one in parts])
            .unsqueeze(1)
            .expand(-1, len(rates), *[-1] * parts[0][name].dim())
            .contiguous()
            for name in parts[0]
        }
        for parts in zip(*starts, strict=True)
    )
    indices = torch.stack(orders, 1)  # (steps, seeds, batch)
    with torch.no_grad():
        program(params, stats, rates, x[indices[0]], y[indices[0]])  # not timed: compilation is start-up
        startup = clock() - began
        began = clock()
        for index in indices:
            params, stats = program(params, stats, rates, x[index], y[index])
        accuracies = []
        for seed in range(len(work.seeds)):
            for rate in range(len(rates)):
                own = ({name: value[seed, rate] for name, value in part.items()} for part in (params, stats))
                logits, _ = forward(work, *own, test_x, False)
                accuracies.append(float((logits.argmax(1) == test_y).float().mean()))
        return Took(clock() - began, startup, work.runs, work.steps, accuracies)


if __name__ == "__main__":
    sys.argv = [arg for arg in sys.argv if arg != "--compile"]
    main(train)

"""A careful eager loop over tensors in memory, one run after the other; `--compile` compiles it."""

from __future__ import annotations

import sys

import torch
from data import tensors
from nets import build
from torch.nn import functional as F
from work import Took, Work, clock, main

COMPILE = "--compile" in sys.argv


def train(work: Work) -> Took:
    began = clock()
    x, y, test_x, test_y = tensors(work)
    images = work.model in ("cnn", "resnet")
    accuracies, seconds = [], 0.0
    startup = clock() - began
    for seed in work.seeds:
        for rate in work.rates:
            torch.manual_seed(seed)
            net = build(work)
            if images:
                net = net.to(memory_format=torch.channels_last)
            optimizer = torch.optim.SGD(net.parameters(), lr=rate)
            program = torch.compile(net) if COMPILE else net
            if COMPILE:  # not timed: what it takes is the start-up
                began = clock()
                F.cross_entropy(program(x[: work.batch]), y[: work.batch]).backward()
                startup += clock() - began
            began = clock()
            order = torch.randperm(len(x))
            for at in range(work.steps):
                start = at * work.batch % (len(x) // work.batch * work.batch)
                if start == 0 and at:
                    order = torch.randperm(len(x))
                index = order[start : start + work.batch]
                batch = x[index]
                if images:
                    batch = batch.contiguous(memory_format=torch.channels_last)
                optimizer.zero_grad()
                F.cross_entropy(program(batch), y[index]).backward()
                optimizer.step()
            net.eval()
            with torch.no_grad():
                right = sum(
                    int((net(a).argmax(1) == b).sum())
                    for a, b in zip(test_x.split(1000), test_y.split(1000), strict=True)
                )
            accuracies.append(right / len(test_x))
            seconds += clock() - began
    return Took(seconds, startup, work.runs, work.steps, accuracies)


if __name__ == "__main__":
    sys.argv = [arg for arg in sys.argv if arg != "--compile"]
    main(train)

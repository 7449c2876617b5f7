"""The tutorial's loop: a DataLoader over torchvision's MNIST, one run after the other."""

from __future__ import annotations

import torch
from nets import build
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST
from work import Took, Work, clock, main

from normbench.data.root import data_root


def loaders(work: Work, workers: int = 0) -> tuple[DataLoader, DataLoader]:
    shape = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    root = data_root()
    options = {"num_workers": workers, "persistent_workers": workers > 0}
    train = DataLoader(
        MNIST(root, train=True, transform=shape),
        batch_size=work.batch,
        shuffle=True,
        drop_last=True,
        **options,
    )
    return train, DataLoader(MNIST(root, train=False, transform=shape), batch_size=1000)


def train(work: Work) -> Took:
    began = clock()
    batches, test = loaders(work)
    startup = clock() - began
    accuracies = []
    began = clock()
    for seed in work.seeds:
        for rate in work.rates:
            torch.manual_seed(seed)
            net = build(work)
            optimizer = torch.optim.SGD(net.parameters(), lr=rate)
            left = work.steps
            while left:
                for x, y in batches:
                    optimizer.zero_grad()
                    F.cross_entropy(net(x), y).backward()
                    optimizer.step()
                    left -= 1
                    if not left:
                        break
            net.eval()
            with torch.no_grad():
                right = sum(int((net(x).argmax(1) == y).sum()) for x, y in test)
            accuracies.append(right / 10000)
    return Took(clock() - began, startup, work.runs, work.steps, accuracies)


if __name__ == "__main__":
    main(train)

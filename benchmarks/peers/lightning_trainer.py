"""PyTorch Lightning, one run after the other: no logger, no bar, no checkpoints, the same DataLoader."""

from __future__ import annotations

import logging
import warnings

import lightning
import torch
from dataloader import loaders
from nets import build
from torch import Tensor
from torch.nn import functional as F
from work import Took, Work, clock, main


class Net(lightning.LightningModule):
    def __init__(self, work: Work, rate: float) -> None:
        super().__init__()
        self.net, self.rate, self.right = build(work), rate, 0

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        self.right += int((self.net(batch[0]).argmax(1) == batch[1]).sum())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.rate)


def train(work: Work) -> Took:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    began = clock()
    batches, test = loaders(work)
    startup = clock() - began
    accuracies = []
    began = clock()
    for seed in work.seeds:
        for rate in work.rates:
            lightning.seed_everything(seed, verbose=False)
            net = Net(work, rate)
            trainer = lightning.Trainer(
                accelerator="cpu",
                max_steps=work.steps,
                logger=False,
                enable_progress_bar=False,
                enable_checkpointing=False,
                enable_model_summary=False,
            )
            trainer.fit(net, batches)
            trainer.test(net, test, verbose=False)
            accuracies.append(net.right / 10000)
    return Took(clock() - began, startup, work.runs, work.steps, accuracies)


if __name__ == "__main__":
    main(train)

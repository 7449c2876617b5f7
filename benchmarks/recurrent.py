"""How fast are recurrent nets? Our stacks against plain torch, run by run, in turn on the same work.

    python benchmarks/recurrent.py [--runs 16] [--width 32] [--rounds 5]

Without a normalization against `nn.LSTM` and `nn.RNN`; with batch normalization in the recurrence against an
eager loop over the same cell. All train by SGD on rows of 28x28 pixels; times are for each run and step.
"""

from __future__ import annotations

import argparse

import torch
from executors import plain_loop
from stacks import alternate, line, random_data, steps_of, trainer
from torch import Tensor, nn

from normbench.config import parse_config
from normbench.models.init import initialise
from normbench.plan import choose_executor

STEPS, BATCH, SHAPE = 3, 100, (1, 28, 28)
MODEL = "{{name: {cell}, width: {width}, norm: {norm}, recurrent_norm: {where}}}"
CONFIG = "name: a\ndata: {{name: mnist}}\nmodel: {model}\n"


class Plain(nn.Module):
    """torch's own net over the rows of an image."""

    def __init__(self, cell: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.recurrent, self.classifier = cell(28, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.recurrent(x.squeeze(1).transpose(0, 1))[0][-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--runs", 16), ("--width", 32), ("--rounds", 5)):
        parser.add_argument(name, type=int, default=default)
    given = parser.parse_args()
    data = random_data(SHAPE)
    for cell, norm, where in (
        ("lstm", "none", "full"),
        ("rnn", "none", "full"),
        ("lstm", "batchnorm", "full"),
        ("lstm", "batchnorm", "input"),
        ("lstm", "layernorm", "full"),
        ("lstm", "weightnorm", "full"),
        ("rnn", "batchnorm", "full"),
    ):
        model = MODEL.format(cell=cell, width=given.width, norm=norm, where=where)
        settings = parse_config(CONFIG.format(model=model)).settings
        if norm == "none":
            base, net = f"nn.{cell.upper()}", Plain({"lstm": nn.LSTM, "rnn": nn.RNN}[cell], given.width)
        else:
            base, net = "eager loop, same cell", settings.model.build(SHAPE, 10)
            initialise(net, settings.model.init, 0)
        measures = {base: plain_loop(net, data, BATCH, 2 * STEPS)}
        chosen = choose_executor(settings, str(torch.get_default_device()))
        for executor in ("looped", "vectorized"):
            stack = trainer(model, data, BATCH, given.runs, executor)
            mark = " (the plan's)" if executor == chosen else ""
            measures[executor + mark] = steps_of(stack, STEPS)
        print(f"{cell}, {norm} ({where}), width {given.width}, batch {BATCH}, {given.runs} runs")
        figures = alternate(measures, given.rounds)
        for name, values in figures.items():
            print("  " + line(name, values, figures[base]), flush=True)


if __name__ == "__main__":
    main()

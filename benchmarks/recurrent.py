"""Compares stacks of recurrent nets with plain torch, run by run, on the same work, in turn.

    python benchmarks/recurrent.py          # about 4 minutes on 2 quiet cores

Nets without a normalization are compared with `nn.LSTM` and `nn.RNN`; nets with a normalization in the
recurrence with an eager loop over the same cell. All train with SGD on rows of 28x28 pixels. Times are per
run and step.
"""

from __future__ import annotations

import table
import torch
from executors import plain_loop
from stacks import alternate, random_data, steps_of, trainer
from torch import Tensor, nn

from normbench.config import parse_config
from normbench.models.init import initialize
from normbench.planning.stacks import choose_executor

STEPS, BATCH, RUNS, ROUNDS, SHAPE = 3, 100, 16, 5, (1, 28, 28)
NETS = (  # cell, normalization, where, width
    ("lstm", "none", "full", 32),
    ("lstm", "none", "full", 100),
    ("rnn", "none", "full", 32),
    ("lstm", "batchnorm", "full", 32),
    ("lstm", "batchnorm", "full", 100),
    ("lstm", "batchnorm", "input", 32),
    ("lstm", "layernorm", "full", 32),
    ("lstm", "weightnorm", "full", 32),
    ("rnn", "batchnorm", "full", 32),
)
MODEL = "{{name: {cell}, width: {width}, norm: {norm}, recurrent_norm: {where}}}"
CONFIG = "name: a\ndata: {{name: mnist}}\nmodel: {model}\n"


class Plain(nn.Module):
    """A net with torch's own recurrent layer over the rows of an image."""

    def __init__(self, cell: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.recurrent, self.classifier = cell(28, width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.recurrent(x.squeeze(1).transpose(0, 1))[0][-1])


def main() -> None:
    data = random_data(SHAPE)
    rows = []
    for cell, norm, where, width in NETS:
        model = MODEL.format(cell=cell, width=width, norm=norm, where=where)
        settings = parse_config(CONFIG.format(model=model)).settings
        if norm == "none":
            base, net = f"nn.{cell.upper()}", Plain({"lstm": nn.LSTM, "rnn": nn.RNN}[cell], width)
        else:
            base, net = "eager loop, same cell", settings.model.build(SHAPE, 10)
            initialize(net, settings.model.init, 0)
        chosen = choose_executor(settings, str(torch.get_default_device()))
        measures = {
            "plain": plain_loop(net, data, BATCH, 2 * STEPS),
            "ours": steps_of(trainer(model, data, BATCH, RUNS, chosen), STEPS),
        }
        figures = alternate(measures, ROUNDS)
        ratios = [plain / ours for plain, ours in zip(figures["plain"], figures["ours"], strict=True)]
        rows.append(
            {
                "net": f"{cell}, {norm}" + (f" ({where})" if norm == "batchnorm" else ""),
                "width": width,
                "executor": chosen,
                "ms for a run and step": table.spread(figures["ours"]),
                "against": base,
                "times as fast": table.spread(ratios),
                "n": ROUNDS,
            }
        )
        print(rows[-1], flush=True)
    table.write("recurrent", rows)


if __name__ == "__main__":
    main()

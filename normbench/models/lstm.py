"""The LSTM (Hochreiter & Schmidhuber 1997; with forget gates, Gers et al. 2000)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from normbench.models.base import Model
from normbench.models.init import Init
from normbench.models.recurrent import Cell, Recurrent
from normbench.nn.recurrent import gated_tanh, lstm_state
from normbench.nn.torch_private import transforms_active
from normbench.norms.sequence import Seen


class LSTM(Recurrent):
    """LSTM: (i, f, o, g) = N(W_h h) + N(W_x x) + b; c = s(f) c + s(i) tanh(g); h = s(o) tanh(N(c)).

    With `recurrent_norm: full` and batchnorm the BN-LSTM (Cooijmans et al. 2017, arXiv:1603.09025), with
    layernorm the LN-LSTM (Ba et al. 2016); without a normalization torch.nn.LSTM.
    """

    name: Literal["lstm"] = "lstm"
    forget_bias: float = Field(0.0, description="added to the forget gate's initial bias")

    paper: ClassVar[str] = "Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735"
    gates: ClassVar[int] = 4

    def resolve(self) -> Model:
        """Return what really applies; the activations are the cell's own."""
        return super().resolve().model_copy(update={"activation": "tanh"})

    def runs_apart(self, device: str) -> bool:
        """Say that torch's kernel, which takes one run, is faster on a CPU (benchmarks/recurrent.py)."""
        return device == "cpu" and self.plain_cells()

    def cell(self, inputs: int, steps: int) -> Cell:
        """Return one layer."""
        return LSTMCell(self, inputs, steps)


class LSTMCell(Cell):
    """One layer of an LSTM; the gates' blocks of W_x, W_h and b in the order i, f, o, g."""

    def __init__(self, options: LSTM, inputs: int, steps: int) -> None:
        super().__init__(options, inputs, steps)
        self.forget_bias = options.forget_bias
        self.cell_norm = options.normalizer("full", options.width, steps)

    @torch.no_grad()
    def start(self, init: Init, rng: Callable[[str], torch.Generator]) -> None:
        """Draw what starts in its own way."""
        super().start(init, rng)
        if self.offset is not None:
            self.offset[self.width : 2 * self.width] += self.forget_bias

    def forward(self, x: Tensor) -> Tensor:
        """Map a sequence (T, B, F) to the outputs of all steps, (T, B, H)."""
        h, c = self.first(x), self.first(x)
        # vmap has no rule for torch's kernel
        if self.fused and self.plain and x.device.type == "cpu" and not transforms_active():
            return self.kernel(x, h, c)
        outputs: list[Tensor] = []
        of_cell: Seen = []
        of_recurrent: Seen = []
        for step, z in enumerate(self.inputs(x)):
            c, o = lstm_state(z + self.recur(h, step, of_recurrent), c)
            h = gated_tanh(o, c if self.cell_norm is None else self.cell_norm.at(c, step, of_cell))
            outputs.append(h)
        self.remember(of_recurrent)
        if self.cell_norm is not None:
            self.cell_norm.remember(of_cell)
        return torch.stack(outputs)

    def kernel(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:
        """Return the same by torch's kernel, whose blocks are in the order i, f, g, o."""

        def ordered(value: Tensor) -> Tensor:
            i, f, o, g = value.chunk(4)
            return torch.cat([i, f, g, o])

        pair = cast("list[Tensor]", [self.input.weight, self.recurrent.weight])
        weights = [ordered(weight) for weight in pair]
        if self.offset is not None:
            weights += [ordered(self.offset), torch.zeros_like(self.offset)]
        outputs, *_ = torch.lstm(
            x, (h[None], c[None]), weights, self.offset is not None, 1, 0.0, self.training, False, False
        )
        return outputs

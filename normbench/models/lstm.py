"""The LSTM (Hochreiter & Schmidhuber 1997) with forget gates (Gers et al. 2000)."""

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

    s is the sigmoid, N the normalization. With `recurrent_norm: full`, batchnorm gives the BN-LSTM (Cooijmans
    et al. 2017, arXiv:1603.09025) and layernorm the LN-LSTM (Ba et al. 2016, arXiv:1607.06450). Without a
    normalization it equals `torch.nn.LSTM`.
    """

    name: Literal["lstm"] = "lstm"
    forget_bias: float = Field(0.0, description="added to the initial bias of the forget gate")

    paper: ClassVar[str] = "Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735"
    gates: ClassVar[int] = 4

    def resolve(self) -> Model:
        """Return the options in effect; the cell sets the activations."""
        return super().resolve().model_copy(update={"activation": "tanh"})

    def runs_apart(self, device: str) -> bool:
        """Return whether a stack trains faster run by run: with torch's kernel (benchmarks/recurrent.py)."""
        return device == "cpu" and self.plain_cells()

    def cell(self, inputs: int, steps: int) -> Cell:
        """Return one layer."""
        return LSTMCell(self, inputs, steps)


class LSTMCell(Cell):
    """One layer of an LSTM. W_x, W_h and b hold the blocks of the gates in the order i, f, o, g."""

    def __init__(self, options: LSTM, inputs: int, steps: int) -> None:
        super().__init__(options, inputs, steps)
        self.forget_bias = options.forget_bias
        self.cell_norm = options.normalizer("full", options.width, steps)

    @torch.no_grad()
    def start(self, init: Init, rng: Callable[[str], torch.Generator]) -> None:
        """Draw the bias and, if it has a scheme of its own, W_h; add the bias of the forget gate."""
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
        """Return the outputs by torch's kernel, which orders the blocks i, f, g, o."""

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

"""The gates of a recurrent cell, for one run or, under `torch.vmap`, a stack of runs.

As in `functional`, forward and backward passes are explicit, count dimensions from the end, and use
operations with equal bits in every stack.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from normbench.nn.functional import Stackable, needs_second_derivative
from normbench.nn.torch_private import (
    sigmoid_backward,
    sigmoid_backward_into,
    tanh_backward,
    tanh_backward_into,
    transforms_active,
)


class _LSTMState(Stackable):
    outputs = 4

    @staticmethod
    def forward(gates: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        width = c.shape[-1]
        opened = gates[..., : 3 * width].neg().exp_().add_(1).reciprocal_()  # sigmoid: i, f, o
        candidate = gates[..., 3 * width :].tanh()
        i, f, o = opened.chunk(3, -1)
        return torch.addcmul(f * c, i, candidate), o.clone(), opened, candidate

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(inputs[1], output[2], output[3])
        ctx.mark_non_differentiable(*output[2:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_c: Tensor, grad_o: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        c, opened, candidate = ctx.saved_tensors
        i, f, _o = opened.chunk(3, -1)
        grad_gates = torch.cat([grad_c * candidate, grad_c * c, grad_o, grad_c * i], -1)
        at = opened.shape[-1]
        if transforms_active():  # under a transform, in-place variants are not allowed
            of_gates = sigmoid_backward(grad_gates[..., :at], opened)
            of_candidate = tanh_backward(grad_gates[..., at:], candidate)
            return torch.cat([of_gates, of_candidate], -1), grad_c * f
        sigmoid_backward_into(grad_gates[..., :at], opened, grad_input=grad_gates[..., :at])
        tanh_backward_into(grad_gates[..., at:], candidate, grad_input=grad_gates[..., at:])
        return grad_gates, grad_c * f


def lstm_state(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cell state and the output gate of an LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

    Args:
        gates: inputs of the gates (B, 4 H), in the order i, f, o, g.
        c: cell state (B, H).

    Returns:
        The next cell state s(f) c + s(i) tanh(g) and the output gate s(o), (B, H) each; s is the sigmoid.
    """
    if needs_second_derivative():
        i, f, o = gates[..., : 3 * c.shape[-1]].sigmoid().chunk(3, -1)
        return f * c + i * gates[..., 3 * c.shape[-1] :].tanh(), o
    state, output_gate, *_ = _LSTMState.apply(gates, c)
    return state, output_gate


class _GatedTanh(Stackable):
    outputs = 2

    @staticmethod
    def forward(gate: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        squashed = x.tanh()
        return gate * squashed, squashed

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(inputs[0], output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor, Tensor]:
        gate, squashed = ctx.saved_tensors
        return grad * squashed, tanh_backward(grad * gate, squashed)


def gated_tanh(gate: Tensor, x: Tensor) -> Tensor:
    """Return y = gate tanh(x) for gate and x (B, H)."""
    return gate * x.tanh() if needs_second_derivative() else _GatedTanh.apply(gate, x)[0]

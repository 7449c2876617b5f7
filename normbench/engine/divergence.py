"""Tells whether a step raised because the numbers of its run were not finite.

A factorization raises where a sum would return NaN. A run whose layer does so has diverged like any other.
The failing step is repeated in plain torch, with hooks that look at what its modules exchange.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from normbench.engine.state import StackState, part
from normbench.engine.step import Data, forward
from normbench.nn.torch_private import tree_map

Pass = tuple[bool, Data]  # whether it trains; x, y and noise


@dataclass
class Repeated:
    """What was seen while a step was repeated.

    Attributes:
        places: what was not finite before the exception, by the name of its module.
        error: the exception, None if nothing raised.
    """

    places: set[str] = field(default_factory=set)
    error: Exception | None = None


def broken(state: StackState, start: StackState) -> bool:
    """Return whether a tensor of the only run is not finite where it was finite at the start.

    A mask that holds infinity by design is as it was.

    Args:
        state: of a stack with one run.
        start: of the same run, untrained.
    """
    pairs = [
        (state.params, start.params),
        (state.buffers, start.buffers),
        *((tensors, start.optimizer[name]) for name, tensors in state.optimizer.items()),
    ]
    return any(
        bool((~torch.isfinite(now[name][0]) & torch.isfinite(tensor[0])).any())
        for now, first in pairs
        for name, tensor in first.items()
    )


def repeat(model: nn.Module, state: StackState, passes: Sequence[Pass]) -> Repeated:
    """Run passes of the only run of a stack in plain torch, until one raises. The state does not change.

    Args:
        model: the net of the run.
        state: of a stack with one run.
        passes: those of the failing step.
    """
    seen = Repeated()
    params = {
        name: tensor.detach().clone().requires_grad_() for name, tensor in part(state.params, 0).items()
    }
    buffers = {name: tensor.detach().clone() for name, tensor in part(state.buffers, 0).items()}
    mode = model.training
    try:
        for training, data in passes:
            model.train(training)
            with torch.set_grad_enabled(training), _watched(model, seen):
                loss, _ = forward(model, params, buffers, data)
                _note(seen, "loss", loss)
                if training:
                    grads = torch.autograd.grad(loss, list(params.values()), allow_unused=True)
                    _note(seen, "gradient", grads)
    except Exception as error:  # a user's layer may raise anything
        seen.error = error
    finally:
        model.train(mode)
    return seen


@contextmanager
def _watched(model: nn.Module, seen: Repeated) -> Iterator[None]:
    """Note what modules return, what the one that raises was given, and gradients, where it is not finite."""
    open_calls: list[tuple[str, Any]] = []

    def before(name: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        open_calls.append((name, (args, kwargs)))

    def after(name: str, module: nn.Module, args: Any, output: Any) -> None:
        open_calls.pop()
        _note(seen, f"output of {name}", output)
        tree_map(partial(_watch_gradient, seen, name), output)

    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(partial(before, name), with_kwargs=True))
        hooks.append(module.register_forward_hook(partial(after, name)))
    try:
        yield
    except Exception:
        if open_calls:
            name, inputs = open_calls[-1]
            _note(seen, f"input of {name}", inputs)
        raise
    finally:
        for hook in hooks:
            hook.remove()


def _note(seen: Repeated, place: str, values: Any) -> None:
    """Note the place if one of the tensors in `values` is not finite."""

    def look(value: Any) -> None:
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            seen.places.add(place)

    tree_map(look, values)


def _watch_gradient(seen: Repeated, name: str, value: Any) -> None:
    if isinstance(value, Tensor) and value.requires_grad:
        value.register_hook(partial(_note, seen, f"gradient of {name}"))

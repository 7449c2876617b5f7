"""Refuses random numbers from torch's global generator, which would depend on the other runs of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from normbench.errors import NormbenchError

# Functions that draw only if `training` is true, with the position of that argument.
_IN_TRAINING: dict[Callable[..., Any], int] = {
    F.dropout: 2,
    F.dropout1d: 2,
    F.dropout2d: 2,
    F.dropout3d: 2,
    F.alpha_dropout: 2,
    F.feature_alpha_dropout: 2,
    F.rrelu: 3,
}
# Functions that always draw.
_ALWAYS: set[Any] = {
    torch.rand,
    torch.rand_like,
    torch.randn,
    torch.randn_like,
    torch.randint,
    torch.randint_like,
    torch.randperm,
    torch.normal,
    torch.bernoulli,
    torch.multinomial,
    torch.poisson,
    torch.Tensor.bernoulli,
    torch.Tensor.multinomial,
    torch.Tensor.bernoulli_,
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    torch.Tensor.exponential_,
    torch.Tensor.random_,
    torch.Tensor.log_normal_,
    torch.Tensor.cauchy_,
    torch.Tensor.geometric_,
}


class NoHiddenRandomness(TorchFunctionMode):
    """Raises `NormbenchError` if a layer draws from torch's global generator instead of a run's seed."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _ALWAYS or (func in _IN_TRAINING and _draws(func, args, kwargs)):
            name = getattr(func, "__name__", str(func))
            raise NormbenchError(
                f"a layer calls torch's '{name}', whose random numbers would depend on the other runs of "
                "its stack; use normbench.nn.layers.Dropout, or derive the layer from "
                "normbench.nn.layers.Noisy, whose uniform(x) depends only on the run's seed, the step and "
                "the layer's place in the net"
            )
        return func(*args, **kwargs)


def _draws(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a call of a function in `_IN_TRAINING` draws."""
    place = _IN_TRAINING[func]
    default = func is F.dropout or func.__name__ in ("dropout1d", "dropout2d", "dropout3d")
    return bool(args[place] if len(args) > place else kwargs.get("training", default))

"""Layers for one run that are fast in a stack, and layers with noise (dropout) from the seed of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from normbench.errors import NormbenchError
from normbench.nn import activations, functional
from normbench.registry import announce, refuse_taken

# The uniform numbers of the current step, by place. `noise` sets them while a model runs.
_noise: ContextVar[Mapping[str, Tensor] | None] = ContextVar("noise", default=None)


@contextmanager
def noise(numbers: Mapping[str, Tensor]) -> Iterator[None]:
    """Provide the uniform numbers in [0, 1) of the noisy layers that run in this context, by `place`."""
    token = _noise.set(numbers)
    try:
        yield
    finally:
        _noise.reset(token)


class Linear(nn.Linear):
    """y = x W' + b with W (out, in), like `torch.nn.Linear`.

    Attributes:
        takes_init: `model.init` draws its weight and bias (`normbench.models.init`).
    """

    takes_init = True

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in) to (B, out)."""
        return functional.linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """The same as `torch.nn.Conv2d`, with weights that `model.init` draws."""

    takes_init = True


class Noisy(nn.Module):
    """Base of the layers that draw uniform numbers, such as dropout.

    Attributes:
        place: name of the layer in the model. Its numbers are drawn from hash(seed, step, place).
        rate: probability of dropping a unit. It is a buffer, so that the runs of a stack may differ in it.
    """

    rate: Tensor

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        self.place = ""
        self.register_buffer("rate", torch.tensor(float(rate), dtype=torch.float64), persistent=False)

    def draws(self, shape: torch.Size) -> tuple[int, ...]:
        """Return the shape of the numbers to draw for inputs of this shape."""
        return tuple(shape)

    def uniform(self, x: Tensor) -> Tensor:
        """Return numbers in [0, 1) for the inputs x: those of `noise`, or torch's own outside of it."""
        numbers = _noise.get()
        if numbers is None:
            return torch.rand(self.draws(x.shape), dtype=x.dtype, device=x.device)
        return numbers[self.place]


class Dropout(Noisy):
    """y = x d / (1 - rate), d = 1 with probability 1 - rate, else 0 (Srivastava et al. 2014)."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop units in training; do nothing at inference."""
        if not self.training:
            return x
        keep = (self.uniform(x) >= self.rate).to(x.dtype)
        return x * (keep / (1 - self.rate).to(x.dtype))


class AlphaDropout(Noisy):
    """Dropout that keeps the mean 0 and variance 1 of SELU (Klambauer et al. 2017, arXiv:1706.02515).

    Dropped units become alpha' = -lambda alpha; y = a (x d + alpha' (1 - d)) + b with
    a = (q + alpha'^2 q (1 - q))^(-1/2), b = -a (1 - q) alpha', q = 1 - rate.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop units in training; do nothing at inference."""
        if not self.training:
            return x
        dropped = -activations.SELU_SCALE * activations.SELU_ALPHA
        q = (1 - self.rate).to(x.dtype)
        a = (q + dropped**2 * q * (1 - q)) ** -0.5
        b = -a * (1 - q) * dropped
        keep = self.uniform(x) >= self.rate
        return a * torch.where(keep, x, torch.full_like(x, dropped)) + b


class Sigmoid(nn.Sigmoid):
    """y = 1 / (1 + e^-x), with equal bits in every stack."""

    def forward(self, x: Tensor) -> Tensor:
        """Map each unit."""
        return activations.sigmoid(x)


class ELU(nn.ELU):
    """y = x if x > 0 else e^x - 1 (Clevert et al. 2016, arXiv:1511.07289), with equal bits in every stack."""

    def forward(self, x: Tensor) -> Tensor:
        """Map each unit."""
        return activations.elu(x)


class SELU(nn.SELU):
    """y = lambda (x if x > 0 else alpha (e^x - 1)) (arXiv:1706.02515), with equal bits in every stack."""

    def forward(self, x: Tensor) -> Tensor:
        """Map each unit."""
        return activations.elu(x, activations.SELU_ALPHA, activations.SELU_SCALE)


class GELU(nn.GELU):
    """y = x P(z <= x), z standard normal (arXiv:1606.08415), with equal bits in every stack."""

    def forward(self, x: Tensor) -> Tensor:
        """Map each unit."""
        return activations.gelu(x)


class OnTokens(nn.Module):
    """Applies a layer for vectors (B, D) to each token of a sequence (B, T, D).

    A normalization over the batch then takes its statistics over all tokens of all samples.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D')."""
        return self.layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # type: ignore[no-any-return]


class Activations(dict[str, type[nn.Module]]):
    """The activations by name; each is a module class without constructor arguments."""

    def add(self, name: str) -> Callable[[type[nn.Module]], type[nn.Module]]:
        """Return a decorator that registers a class under this name.

        Raises:
            NormbenchError: the name is taken, or the class is not a module.
        """

        def register(cls: type[nn.Module]) -> type[nn.Module]:
            if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
                raise NormbenchError(f"{cls!r} is not an activation; derive it from torch.nn.Module")
            refuse_taken("activation", self, name, cls)
            self[name] = cls
            return cls

        return register


ACTIVATIONS = Activations(
    sigmoid=Sigmoid,
    tanh=nn.Tanh,
    relu=nn.ReLU,
    leaky_relu=nn.LeakyReLU,
    elu=ELU,
    selu=SELU,
    gelu=GELU,
    identity=nn.Identity,
)
announce("activation", ACTIVATIONS)


class Scaled(nn.Module):
    """y = gain activation(x), for a normalization with an activation gain."""

    def __init__(self, activation: nn.Module, gain: float) -> None:
        super().__init__()
        self.activation, self.gain = activation, gain

    def forward(self, x: Tensor) -> Tensor:
        """Map each unit."""
        return self.activation(x) * self.gain


def name_places(model: nn.Module) -> nn.Module:
    """Set the `place` of every noisy layer to its name in the model, and return the model."""
    for name, module in model.named_modules():
        if isinstance(module, Noisy):
            module.place = name
    return model

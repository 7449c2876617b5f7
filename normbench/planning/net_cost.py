"""What one net takes: parameters, FLOPs, activations. Each architecture is built once, nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normbench.errors import PlanError
from normbench.models.base import Dropout, Model
from normbench.models.init import Init
from normbench.nn.functional import second_derivatives

IMAGES = 2  # that are run through a net: the fewest that statistics of a batch can be taken of


@dataclass(frozen=True)
class NetCost:
    """What one image takes in one run; a multiplication with its addition counts as two operations.

    Only products with weights are counted (linear and convolution layers): all else is small beside them.
    """

    parameters: int
    buffers: int  # numbers that are kept but not trained, such as running means
    forward_flops: int
    train_flops: int  # of a training step: forward, backward, but no gradient in the inputs
    activations: int  # numbers that all layers put out
    layers: int  # layers with weights


def net_cost(model: Model, input_shape: tuple[int, ...], classes: int) -> NetCost:
    """Return what a net takes, for inputs (C, H, W).

    Raises:
        PlanError: the net cannot be built, say since its normalization refuses a layer's width.
    """
    key = (*_shaping(model), input_shape, classes)
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        plain = model.model_copy(update={"init": Init(), "dropout": Dropout()})
        _known[key] = measure(plain, input_shape, classes)
    return _known[key]


def refusal(model: Model, input_shape: tuple[int, ...], classes: int, batch_size: int) -> str | None:
    """Return the reason why this net cannot be built for such inputs or trained on them, or None."""
    if reason := model.refuses(input_shape, batch_size):
        return reason
    try:
        net_cost(model, input_shape, classes)
    except PlanError as error:
        return str(error)
    return None


MOST_KNOWN = 16_384  # of a long-lived process
_known: dict[tuple[Any, ...], NetCost] = {}


def _shaping(model: Model) -> tuple[Any, ...]:
    """Return that of a model on which its shapes depend: no initial weights, dropout, numbers of the norm."""
    numbers = {name for name, value in model.norm if isinstance(value, float)}
    text = model.model_dump_json(exclude={"init": True, "dropout": True, "norm": numbers})
    return type(model), type(model.norm), text


def measure(model: Model, input_shape: tuple[int, ...], classes: int) -> NetCost:
    """Build the net, run a few images through it, and count.

    On the CPU, not on torch's device without storage, whose first use loads for longer than this takes.
    """
    products = needed = activations = layers = 0
    leaves: set[nn.Module] = set()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal products, needed, activations, layers
        if not isinstance(output, Tensor):
            return
        if module in leaves:
            activations += output.numel() // IMAGES
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() >= 2:
            # each output unit is one product with the unit's weights, at each place of each image
            product = 2 * (output.numel() // IMAGES // weight.shape[0]) * weight.numel()
            products += product
            needed += product * (3 if inputs[0].requires_grad else 2)
            layers += 1

    with torch.random.fork_rng(devices=[]):  # building draws weights
        net = model.build(input_shape, classes).eval()  # ghost batches of a size would want their own images
        for module in net.modules():
            if hasattr(module, "fused"):  # a kernel for a whole sequence calls no layer that could be counted
                module.fused = False  # type: ignore[assignment]
            if next(module.children(), None) is None:
                leaves.add(module)
            if module in leaves or hasattr(module, "weight"):
                module.register_forward_hook(record)
        with second_derivatives():  # torch's own operations, which start in less time than ours here
            net(torch.zeros(IMAGES, *input_shape))
    return NetCost(
        parameters=_numbers(net.parameters()),
        buffers=_numbers(net.buffers()),
        forward_flops=products,
        train_flops=needed,
        activations=activations,
        layers=layers,
    )


def _numbers(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)

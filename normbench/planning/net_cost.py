"""What one net costs: parameters, FLOPs, activations. Each architecture is built once, nothing is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normbench.errors import PlanError
from normbench.models.base import Dropout, Model
from normbench.models.build import build_net
from normbench.models.init import Init
from normbench.nn.functional import second_derivatives
from normbench.plugins import is_built_in

IMAGES = 2  # run through a net: the fewest from which statistics of a batch can be computed
MOST_KNOWN = 16_384  # bounds the cache of a long-lived process


@dataclass(frozen=True)
class NetCost:
    """What one image costs in one run. A multiplication with its addition counts as two operations.

    Only products with weights are counted (linear and convolution layers): everything else is small in
    comparison.

    Attributes:
        parameters: trained numbers.
        buffers: numbers that are kept but not trained, such as running means.
        forward_flops: of the forward pass.
        train_flops: of a training step: forward and backward pass, without gradients of the inputs.
        activations: numbers that all layers output.
        layers: layers with weights.
    """

    parameters: int
    buffers: int
    forward_flops: int
    train_flops: int
    activations: int
    layers: int


_known: dict[tuple[Any, ...], NetCost] = {}


def net_cost(model: Model, input_shape: tuple[int, ...], classes: int) -> NetCost:
    """Return what a net costs, for inputs (C, H, W).

    Raises:
        PlanError: the net cannot be built, for example because its normalization refuses a layer's width.
    """
    key = (*_shaping(model), input_shape, classes)
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        plain: Any = model.model_copy(update={"init": Init(), "dropout": Dropout()})
        shallow = _shallow(plain)
        if shallow is None:
            _known[key] = measure(plain, input_shape, classes)
        else:
            low, high = (net_cost(one, input_shape, classes) for one in shallow)
            _known[key] = _deeper(low, high, plain.depth - shallow[0].depth)
    return _known[key]


def _shallow(model: Any) -> tuple[Any, Any] | None:
    """Return the two nets whose costs tell that of a deeper one, or None where its own must be measured.

    What a plug-in hands out may differ from layer to layer.
    """
    first = vars(type(model)).get("alike_from")
    if first is None or model.depth <= first + 1 or not is_built_in(model):
        return None
    low, high = (model.model_copy(update={"depth": depth}) for depth in (first, first + 1))
    return low, high


def _deeper(low: NetCost, high: NetCost, layers: int) -> NetCost:
    """Return the cost of the net that is this many layers deeper than `low`; `high` is one layer deeper."""
    pairs = zip(astuple(low), astuple(high), strict=True)
    return NetCost(*(one + layers * (other - one) for one, other in pairs))


def refusal(model: Model, input_shape: tuple[int, ...], classes: int, batch_size: int) -> str | None:
    """Return the reason why a net cannot be built for such inputs or trained on them, or None.

    Args:
        model: the architecture with its options.
        input_shape: (C, H, W) of one input.
        classes: number of logits.
        batch_size: of the training.
    """
    if reason := model.refuses(input_shape, batch_size):
        return reason
    try:
        net_cost(model, input_shape, classes)
    except PlanError as error:
        return str(error)
    return None


def _shaping(model: Model) -> tuple[Any, ...]:
    """Return what a model's shapes depend on: not its initial weights, dropout, or numbers of its norm."""
    numbers = {name for name, value in model.norm if isinstance(value, float)}
    text = model.model_dump_json(exclude={"init": True, "dropout": True, "norm": numbers})
    return type(model), type(model.norm), text


def measure(model: Model, input_shape: tuple[int, ...], classes: int) -> NetCost:
    """Build the net, run a few images through it, and count.

    This runs on the CPU: the first use of torch's meta device loads for longer than this takes.
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
            # Each output unit is one product with the unit's weights, at each position of each image.
            product = 2 * (output.numel() // IMAGES // weight.shape[0]) * weight.numel()
            products += product
            needed += product * (3 if inputs[0].requires_grad else 2)
            layers += 1

    # In evaluation mode, since ghost batches of a fixed size need more images than these.
    net = build_net(model, input_shape, classes).eval()
    modules = list(net.modules())
    parameters = _distinct(module._parameters for module in modules)
    trained = [one for one in parameters if one.requires_grad]
    untrained = [one for one in parameters if not one.requires_grad]
    untrained += _distinct(module._buffers for module in modules)
    dtype = torch.get_default_dtype()
    if any(one.dtype != dtype and one.is_floating_point() for one in (*trained, *untrained)):
        net.to(dtype)
    for module in modules:
        if hasattr(module, "fused"):  # a kernel for a whole sequence calls no layer that could be counted
            module.fused = False  # type: ignore[assignment]
        if next(module.children(), None) is None:
            leaves.add(module)
        if module in leaves or hasattr(module, "weight"):
            module.register_forward_hook(record)
    with torch.random.fork_rng(devices=[]), second_derivatives():  # torch's own operations start faster
        net(torch.zeros(IMAGES, *input_shape))
    return NetCost(
        parameters=_count(trained),
        buffers=_count(untrained),
        forward_flops=products,
        train_flops=needed,
        activations=activations,
        layers=layers,
    )


def _distinct(kept: Iterable[Mapping[str, Tensor | None]]) -> list[Tensor]:
    """Return the tensors that modules keep, each once."""
    return list({id(one): one for tensors in kept for one in tensors.values() if one is not None}.values())


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)

"""Norms of the weights of each layer, and the effective learning rate that they give."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from normbench.nn.holding import holding
from normbench.probes.base import Probe, Values
from normbench.probes.quantity import Quantity
from normbench.probes.view import RunView, layer_of, sum_of_squares


class Weights(Probe):
    """Norm of the weights, of v and g where they are normalized, of the bias, and the effective rate.

    w are the weights that multiply the inputs. Weight normalization computes them as w = g v / ||v||, weight
    standardization as w = (v - mean) / std. The effective rate is the angular speed of weights whose scale
    the net ignores, because they are normalized or a normalization directly follows them.
    """

    name: Literal["weights"] = "weights"

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868; van Laarhoven 2017, arXiv:1706.05350"
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "weights.norm",
            "norm of the weights",
            "‖w‖, of the weights that multiply the inputs",
            unit="Frobenius",
            over_steps="last",
        ),
        Quantity("weights.bias_norm", "norm of the bias", "‖bias‖", unit="L2", over_steps="last"),
        Quantity(
            "weights.v_norm",
            "norm of v",
            "‖v‖ in w = g v / ‖v‖ (Salimans & Kingma 2016), and of the weights that weight standardization "
            "normalizes",
            unit="Frobenius",
            over_steps="last",
        ),
        Quantity("weights.g_norm", "norm of g", "‖g‖ in w = g v / ‖v‖", unit="L2", over_steps="last"),
        Quantity(
            "weights.effective_rate",
            "effective rate",
            "rate / ‖v‖², or rate / ‖w‖² if the next normalization cancels the scale of w "
            "(van Laarhoven 2017)",
            unit="rate / squared norm",
            over_steps="last",
        ),
    )
    cheap: ClassVar[bool] = True

    def cost(self, net: nn.Module) -> float:
        """Return the cost of reading the weights."""
        return 0.2

    def measure(self, run: RunView) -> Values:
        """Return the norms of each layer with weights."""
        squares: dict[tuple[str, str], Tensor] = {}

        def add(layer: str, what: str, tensor: Tensor) -> None:
            square = sum_of_squares(tensor)
            key = layer, f"weights.{what}"
            squares[key] = squares[key] + square if key in squares else square

        turning: dict[str, Tensor] = {}
        tensors = {**run.buffers, **run.params}
        for name, module in weighted(run.model).items():
            own = {key: tensors[full] for key, full in own_names(run.model, module).items()}
            layer, weight = layer_of(name), own["weight"]
            if hasattr(module, "effective"):
                add(layer, "norm", effective(module, own))
                add(layer, "v_norm", weight)
                if "gain" in own:
                    add(layer, "g_norm", own["gain"])
            else:
                add(layer, "norm", weight)
            if own.get("bias") is not None:
                add(layer, "bias_norm", own["bias"])
            if getattr(module, "scale_invariant", False) or cancelled(run.model, name):
                turning[layer] = turning.get(layer, 0) + sum_of_squares(weight)
        values = {key: square.sqrt() for key, square in squares.items()}
        for layer, square in turning.items():
            values[layer, "weights.effective_rate"] = run.lr / square
        return values


def weighted(net: nn.Module) -> dict[str, nn.Module]:
    """Return the modules with weights of their own: linear layers, convolutions and their wrappers."""
    found = {}
    for name, module in net.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() >= 2:
            found[name] = module
    return found


def own_names(net: nn.Module, module: nn.Module) -> dict[str, str]:
    """Return the full names of a module's own parameters. A shared one has the name of its first place."""
    names = {id(param): name for name, param in net.named_parameters()}
    return {key: names[id(param)] for key, param in module.named_parameters(recurse=False)}


def effective(module: nn.Module, params: dict[str, Tensor]) -> Tensor:
    """Return the weights that a normalization of weights computes from these parameters."""
    with holding(module, params, {}):
        return module.effective()  # type: ignore[operator, no-any-return]


def cancelled(net: nn.Module, name: str) -> bool:
    """Return whether a normalization directly after this module cancels the scale of its weights."""
    block, _, own = name.rpartition(".")
    if own != "layer" or not isinstance(parent := net.get_submodule(block), nn.Sequential):
        return False
    behind = [part for key, part in parent.named_children() if key in ("layer", "norm", "activation")]
    place = behind.index(net.get_submodule(name))
    return place + 1 < len(behind) and getattr(behind[place + 1], "scale_invariant", False)

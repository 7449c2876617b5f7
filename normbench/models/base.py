"""The options that every architecture shares, and the hidden block that all are made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator
from torch import nn

from normbench.errors import PlanError
from normbench.models.init import Init
from normbench.names import DROPOUT_RATE
from normbench.nn.layers import ACTIVATIONS, Noisy, Scaled, name_places
from normbench.norms import NORMS, Normalization
from normbench.registry import Named, Options, WordChoice

Activation = Annotated[str, WordChoice(ACTIVATIONS)]
Position = Literal["before_activation", "after_activation", "layer_input"]
Placement = Literal["none", "input", "before_norm", "after_norm", "after_activation", "classifier"]


class Dropout(Options):
    """Where units are dropped in training, and how often."""

    rate: float = Field(0.0, ge=0, lt=1, description="probability to drop a unit")
    placement: Placement = Field("none", description="where in the net")


class Model(Named):
    """Base of all architectures. `build` returns an ordinary module for one run; nobody names a norm here."""

    activation: Activation = Field("relu", description="after each hidden layer")
    norm: Annotated[Normalization, NORMS.choice] = Field(
        NORMS["none"](name="none"), description="the normalization"
    )
    norm_position: Position = Field("before_activation", description="where the normalization's layer sits")
    dropout: Dropout = Dropout()
    init: Init = Init()
    bias: bool | None = Field(
        None, description="false: no biases; true: also one directly before a norm that subtracts the mean"
    )

    images: ClassVar[bool] = False  # whether the net needs images (C, H, W) rather than vectors

    @field_validator("norm", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def resolve(self) -> Model:
        """Return what really applies: the normalization's demands, and no option that has no effect."""
        fixed: dict[str, Any] = {key.removeprefix("model."): value for key, value in self.norm.sets().items()}
        if self.dropout.rate == 0 or self.dropout.placement == "none":
            fixed["dropout"] = Dropout()
        fixed["init"] = self.init.resolve(self.norm.init())
        return self.model_copy(update=fixed)

    def decides(self) -> tuple[str, ...]:
        """Return the dotted keys that these options decide, whatever a sweep says: `model.activation`."""
        keys = list(self.norm.sets())
        if self.dropout.placement == "none":
            keys.append(DROPOUT_RATE)
        return tuple(keys)

    def in_common(self) -> dict[str, Any]:
        """Return what the runs of one stack have in common of these options, as plain data."""
        return self.model_dump(mode="json", exclude={"init": True, "dropout": {"rate"}})

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the untrained net for inputs (C, H, W); it maps (B, C, H, W) to logits (B, classes)."""
        return name_places(self.assemble(input_shape, classes))

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Put the net's modules together (each architecture's own part of `build`)."""
        raise NotImplementedError

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Return the reason why its options cannot be trained on such inputs, or None; no net is built."""
        pixels = self.fewest_values(input_shape, 1) if self.images else None
        values = self.fewest_values(input_shape, batch_size)
        return self.norm.refuses(self.name, values, pixels, self.branches())

    def branches(self) -> int:
        """Return the number of residual branches."""
        return 0

    def runs_apart(self, device: str) -> bool:
        """Tell whether a stack is faster run by run than as one program (benchmarks/executors.py).

        On a CPU convolutional nets are, in channels_last, since vmap makes of them grouped convolutions.
        """
        return self.images and device == "cpu"

    def fewest_values(self, input_shape: tuple[int, ...], batch_size: int) -> int:
        """Return the least number of values in a batch from which a unit's own statistics are taken."""
        return batch_size

    def drop(self, placement: Placement) -> dict[str, nn.Module]:
        """Return the dropout layer of this place by its name, or nothing."""
        if self.dropout.placement != placement:
            return {}
        return {f"dropout_{placement}": self.dropout_layer()}

    def dropout_layer(self) -> Noisy:
        """Return the kind of dropout that goes with the normalization."""
        norm: Normalization = self.norm
        return norm.dropout(self.dropout.rate)

    def bare_activation(self) -> nn.Module:
        """Return the activation without any gain."""
        return ACTIVATIONS[self.activation]()

    def norm_layer(self, features: int) -> nn.Module | None:
        """Return the normalization's layer, or None; a `PlanError` where it refuses so many features."""
        reason = self.norm.refuses_features(features, self.images)
        if reason:
            raise PlanError(reason)
        return self.norm.module(features)

    def activate(self) -> nn.Module:
        """Return the activation, with the gain that the normalization asks for."""
        activation = self.bare_activation()
        gain = self.norm.activation_gain(activation)
        return activation if gain == 1.0 else Scaled(activation, gain)

    def needs_bias(self) -> bool:
        """Tell whether a hidden layer has a bias: not directly before a norm that would cancel it."""
        if self.bias is not None:
            return self.bias
        directly_before = (
            self.norm_position == "before_activation" and self.dropout.placement != "before_norm"
        )
        return not (directly_before and self.norm.subtracts_mean)

    def block(
        self,
        layer: nn.Module,
        inputs: int,
        features: int,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
    ) -> nn.Sequential:
        """Return a hidden layer with its normalization, activation and dropout, each in its place.

        before_activation: layer, norm, activation; after_activation: layer, activation, norm;
        layer_input: norm, layer, activation. Dropout sits directly before or after the norm (where there is
        none: before the activation), or after the activation and whatever follows it. `wrap` serves in place
        of the normalization's own.
        """
        at_input = self.norm_position == "layer_input"
        norm = self.norm_layer(inputs if at_input else features)
        normalize: dict[str, nn.Module] = {
            **self.drop("before_norm"),
            **({} if norm is None else {"norm": norm}),
            **self.drop("after_norm"),
        }
        main: dict[str, nn.Module] = {"layer": (wrap or self.norm.wrap)(layer)}
        activate: dict[str, nn.Module] = {"activation": self.activate()}
        order = {
            "before_activation": (main, normalize, activate),
            "after_activation": (main, activate, normalize),
            "layer_input": (normalize, main, activate),
        }[self.norm_position]
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        for part in (*order, self.drop("after_activation")):
            parts.update(part)
        return nn.Sequential(parts)

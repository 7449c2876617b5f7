"""The options that all architectures share, and their hidden block."""

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
    """Where units are dropped in training, and with which probability."""

    rate: float = Field(0.0, ge=0, lt=1, description="probability of dropping a unit")
    placement: Placement = Field("none", description="place in the net")


class Model(Named):
    """Base of all architectures. `build` returns an ordinary module for one run.

    Architectures ask the interface of `Normalization` and never test for a particular normalization.
    """

    activation: Activation = Field("relu", description="activation of the hidden layers")
    norm: Annotated[Normalization, NORMS.choice] = Field(
        NORMS["none"](name="none"), description="the normalization"
    )
    norm_position: Position = Field(
        "before_activation", description="where the normalization layer is placed"
    )
    dropout: Dropout = Dropout()
    init: Init = Init()
    bias: bool | None = Field(
        None, description="false: no biases; true: biases even directly before a norm that subtracts the mean"
    )

    # The depth from which on each further layer costs what the last one does. Subclasses do not inherit it.
    alike_from: ClassVar[int | None] = None
    images: ClassVar[bool] = False  # whether the net needs images (C, H, W) rather than vectors

    @field_validator("norm", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def resolve(self) -> Model:
        """Return the options in effect: as the normalization sets them; those without effect are reset."""
        fixed: dict[str, Any] = {key.removeprefix("model."): value for key, value in self.norm.sets().items()}
        if self.dropout.rate == 0 or self.dropout.placement == "none":
            fixed["dropout"] = Dropout()
        fixed["init"] = self.init.resolve(self.norm.init())
        return self.model_copy(update=fixed)

    def decides(self) -> tuple[str, ...]:
        """Return the dotted keys that these options set, even in a sweep over them (`model.activation`)."""
        keys = list(self.norm.sets())
        if self.dropout.placement == "none":
            keys.append(DROPOUT_RATE)
        return tuple(keys)

    def in_common(self) -> dict[str, Any]:
        """Return the options that all runs of a stack share, as plain data."""
        return self.model_dump(mode="json", exclude={"init": True, "dropout": {"rate"}})

    def build(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W), not yet initialized; it maps (B, C, H, W) to (B, classes)."""
        return name_places(self.assemble(input_shape, classes))

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W); implemented by each architecture."""
        raise NotImplementedError

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Return why these options cannot be trained on inputs (C, H, W), or None; builds no net."""
        pixels = self.fewest_values(input_shape, 1) if self.images else None
        values = self.fewest_values(input_shape, batch_size)
        return self.norm.refuses(self.name, values, pixels, self.branches())

    def branches(self) -> int:
        """Return the number of residual branches."""
        return 0

    def runs_apart(self, device: str) -> bool:
        """Return whether a stack trains faster run by run than as one program (benchmarks/executors.py).

        Convolutional nets do on a CPU: run by run they use channels_last, under vmap grouped convolutions.
        """
        return self.images and device == "cpu"

    def fewest_values(self, input_shape: tuple[int, ...], batch_size: int) -> int:
        """Return the smallest number of values per feature in a batch, over all normalized layers."""
        return batch_size

    def drop(self, placement: Placement) -> dict[str, nn.Module]:
        """Return {name: dropout layer} if dropout has this placement, else an empty dictionary."""
        if self.dropout.placement != placement:
            return {}
        return {f"dropout_{placement}": self.dropout_layer()}

    def dropout_layer(self) -> Noisy:
        """Return the dropout layer that the normalization requires."""
        norm: Normalization = self.norm
        return norm.dropout(self.dropout.rate)

    def bare_activation(self) -> nn.Module:
        """Return the activation without gain."""
        return ACTIVATIONS[self.activation]()

    def norm_layer(self, features: int) -> nn.Module | None:
        """Return the normalization layer, or None.

        Raises:
            PlanError: the normalization refuses this many features.
        """
        reason = self.norm.refuses_features(features, self.images)
        if reason:
            raise PlanError(reason)
        return self.norm.module(features)

    def activate(self) -> nn.Module:
        """Return the activation, with the gain that the normalization requires."""
        activation = self.bare_activation()
        gain = self.norm.activation_gain(activation)
        return activation if gain == 1.0 else Scaled(activation, gain)

    def needs_bias(self) -> bool:
        """Return whether a hidden layer has a bias; by default not directly before a norm that cancels it."""
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
        """Return a hidden layer with its normalization, activation and dropout.

        The order is layer, norm, activation (`before_activation`), layer, activation, norm
        (`after_activation`) or norm, layer, activation (`layer_input`). Dropout is directly before or after
        the norm (without a norm layer: in its place), or at the end.

        Args:
            layer: the linear or convolution layer.
            inputs: its number of input features.
            features: its number of output features.
            wrap: replaces the layer, instead of `self.norm.wrap`.
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

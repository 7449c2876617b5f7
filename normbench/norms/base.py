"""The interface of a normalization: what it changes in a net. By default it changes nothing."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from normbench.nn.layers import Dropout, Noisy
from normbench.norms.sequence import EachStep, SequenceLayer
from normbench.registry import Named


class Normalization(Named):
    """Base of all normalizations. Its pydantic fields are the options; its methods define what it changes.

    Class attributes:
        activation: the activation that it requires in place of `model.activation`, or None.
        recurrent_gain: the initial gain gamma of its layers in a recurrent net.
        dropout: the dropout layer to use with it.
        subtracts_mean: it subtracts each feature's own mean over the batch. A bias directly before it then
            has no effect, and a batch with one value per feature carries no information.
        needs_images: it needs features that are images.
        needs_branches: it needs a net with residual branches.
        no_second_derivative: why its layer has no second derivative; empty if it has one.
    """

    activation: ClassVar[str | None] = None
    recurrent_gain: ClassVar[float] = 1.0
    dropout: ClassVar[type[Noisy]] = Dropout
    subtracts_mean: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False
    needs_branches: ClassVar[bool] = False
    no_second_derivative: ClassVar[str] = ""

    def __init_subclass__(cls, **options: Any) -> None:
        """Mark what the methods of a subclass hand out, so that `model.init` draws its weights."""
        super().__init_subclass__(**options)
        for name in ("wrap", "wrap_classifier", "wrap_in_branch"):
            if name in cls.__dict__:
                setattr(cls, name, _drawn_by_init(cls.__dict__[name]))

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return the layer that replaces a linear or convolution layer (weight normalization)."""
        return taking_init(layer)

    def wrap_classifier(self, layer: nn.Module) -> nn.Module:
        """Return the layer that replaces the last linear layer of the net; by default as `wrap`."""
        return self.wrap(layer)

    def wrap_in_branch(self, layer: nn.Module, branches: int, layers: int, last: bool) -> nn.Module:
        """Return the layer that replaces a layer of a residual branch (Fixup); by default as `wrap`.

        Args:
            layer: the linear or convolution layer.
            branches: number of residual branches in the net.
            layers: number of layers in each branch.
            last: whether this is the last layer of its branch.
        """
        return self.wrap(layer)

    def branch_scales(self, index: int) -> tuple[float, float]:
        """Return alpha and beta of a residual block x + alpha f(x / beta) (NF-ResNets).

        `index` is the number of blocks of the same shape before this one.
        """
        return 1.0, 1.0

    def activation_gain(self, activation: nn.Module) -> float:
        """Return the factor that multiplies the outputs of this activation."""
        return 1.0

    def module(self, features: int) -> nn.Module | None:
        """Return the layer that normalizes (B, features) or (B, features, H, W), or None."""
        return None

    def sequence_module(
        self, features: int, steps: int, shared: bool = False, offset: bool = True
    ) -> SequenceLayer | None:
        """Return the layer that normalizes (B, features) at each step of a sequence, or None.

        Args:
            features: number of features F.
            steps: length of a training sequence.
            shared: keep one set of running statistics for all steps, instead of one per step.
            offset: learn an offset beta. A recurrent cell that has its own bias does without.
        """
        layer = self.module(features)
        return None if layer is None else EachStep(layer)

    def refuses_sequences(self) -> str | None:
        """Return why a recurrent net cannot have this normalization, or None."""
        if self.subtracts_mean:
            return "its running statistics are not defined for the steps of a sequence"
        return None

    def has_layer(self) -> bool:
        """Return whether `module` returns a layer with these options."""
        return type(self).module is not Normalization.module

    def init(self) -> dict[str, object]:
        """Return the options of `model.init` to use where the config sets none."""
        return {}

    def sets(self) -> dict[str, str]:
        """Return the settings that the normalization fixes, by their dotted keys."""
        fixed = {"model.activation": self.activation} if self.activation else {}
        if not self.has_layer():
            fixed["model.norm_position"] = "before_activation"  # there is no layer to place
        return fixed

    def refuses(
        self, architecture: str, values: int, pixels: int | None = None, branches: int = 0
    ) -> str | None:
        """Return why this architecture cannot have this normalization, or None.

        Args:
            architecture: name of the architecture.
            values: smallest number of values of one feature in a batch, over all layers.
            pixels: smallest number of these that come from one sample; None if features are not images.
            branches: number of residual branches in the net.
        """
        if self.needs_images and pixels is None:
            return (
                f"it computes statistics over the pixels of one image, and the features of "
                f"'{architecture}' are single numbers"
            )
        if self.needs_images and pixels == 1:
            return (
                "it subtracts the mean of each image, which leaves nothing of the 1x1 images of some layers"
            )
        if self.needs_branches and not branches:
            return f"it applies to residual branches, and this '{architecture}' has none"
        if self.subtracts_mean and values < 2:
            return (
                "it subtracts the mean over the batch, which leaves nothing of a batch of one; "
                "data.batch_size must be at least 2"
            )
        return None

    def refuses_features(self, features: int, images: bool) -> str | None:
        """Return why a layer with this many features cannot be normalized, or None."""
        return None


def taking_init(layer: nn.Module) -> nn.Module:
    """Mark a layer, and the linear and convolution layers inside it, as drawn by `model.init`; return it."""
    for part in layer.modules():
        if part is layer or isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d)):
            part.takes_init = True  # type: ignore[assignment]
    return layer


def _drawn_by_init(wrap: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Return a method that marks the layer that another returns."""

    @functools.wraps(wrap)
    def marking(*args: Any, **options: Any) -> nn.Module:
        return taking_init(wrap(*args, **options))

    return marking


class Affine(nn.Module):
    """Gain gamma (initially 1) and offset beta (0), both (F,); constants without `affine`.

    Args:
        features: number of features or channels F.
        affine: learn gamma and beta.

    Attributes:
        precise_bn_batches: number of training batches over which the running statistics are averaged again
            before each evaluation; None keeps those from training. A layer that sets it has a buffer
            `momentum`, the weight of the new batch, which the engine sets to 1/k for batch number k.
        scale_invariant: whether outputs and gradients ignore the scale of the inputs (up to eps).
    """

    precise_bn_batches: int | None = None
    scale_invariant = False
    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, affine: bool) -> None:
        super().__init__()
        self.features = features
        if affine:
            self.weight = nn.Parameter(torch.ones(features))
            self.bias = nn.Parameter(torch.zeros(features))
        else:
            self.register_buffer("weight", torch.ones(features), persistent=False)
            self.register_buffer("bias", torch.zeros(features), persistent=False)

    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        """Return gamma xhat + beta for xhat (B, F) or (B, F, H, W)."""
        shape = (-1, *[1] * (xhat.dim() - 2))  # (F,) or (F, 1, 1)
        return torch.addcmul(self.bias.view(shape), xhat, self.weight.view(shape))

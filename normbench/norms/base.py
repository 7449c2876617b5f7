"""The few questions that a normalization answers; the default answer to each is 'nothing special'."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from normbench.nn.layers import Dropout, Noisy
from normbench.norms.sequence import EachStep, SequenceLayer
from normbench.registry import Named


class Normalization(Named):
    """Base of all normalizations: its pydantic fields are the options, its methods say what it does to a net.

    Class attributes:
        activation: the activation that the normalization must set, in place of `model.activation`.
        recurrent_gain: the gain that its layers start with in a recurrent net.
        dropout: the kind of dropout that goes with it.
        subtracts_mean: it removes each feature's own mean over the batch, so that a bias directly before it
            has no effect, and a batch of one value no information.
        needs_images, needs_branches: it serves only nets on images, only nets with residual branches.
    """

    activation: ClassVar[str | None] = None
    recurrent_gain: ClassVar[float] = 1.0
    dropout: ClassVar[type[Noisy]] = Dropout
    subtracts_mean: ClassVar[bool] = False
    needs_images: ClassVar[bool] = False
    needs_branches: ClassVar[bool] = False

    def wrap(self, layer: nn.Module) -> nn.Module:
        """Return the linear or convolution layer to use in place of this one (weight normalization)."""
        return layer

    def wrap_classifier(self, layer: nn.Module) -> nn.Module:
        """Return the net's last linear layer; wrapped as all others unless the normalization spares it."""
        return self.wrap(layer)

    def wrap_in_branch(self, layer: nn.Module, branches: int, layers: int, last: bool) -> nn.Module:
        """Return a layer of a residual branch, of `layers` in each of `branches`, perhaps its `last`.

        A net with residual branches asks this in place of `wrap` for the layers of its branches (Fixup).
        """
        return self.wrap(layer)

    def branch_scales(self, index: int) -> tuple[float, float]:
        """Return (alpha, beta) with which a residual block computes x + alpha f(x / beta).

        `index` counts the blocks of the same shape before this one, from 0 (NF-ResNets).
        """
        return 1.0, 1.0

    def activation_gain(self, activation: nn.Module) -> float:
        """Return the number that multiplies the outputs of the activations."""
        return 1.0

    def module(self, features: int) -> nn.Module | None:
        """Return the layer that normalizes (B, features) or (B, features, H, W), or None if there is none."""
        return None

    def sequence_module(
        self, features: int, steps: int, shared: bool = False, offset: bool = True
    ) -> SequenceLayer | None:
        """Return the layer that normalizes a sequence, (B, features) at each of `steps` steps, or None.

        `shared`: one set of running statistics for all steps, not one for each. `offset`: with a learned
        offset of its own, where the norm's formula in a recurrent cell has it only in places.
        """
        layer = self.module(features)
        return None if layer is None else EachStep(layer)

    def refuses_sequences(self) -> str | None:
        """Return the reason why a recurrent net cannot have this normalization, or None."""
        if self.subtracts_mean:
            return "its running statistics have no form for the steps of a sequence"
        return None

    def has_layer(self) -> bool:
        """Tell whether `module` returns layers at these options."""
        return type(self).module is not Normalization.module

    def init(self) -> dict[str, object]:
        """Return the options of `model.init` that the normalization asks for where the user wrote none."""
        return {}

    def sets(self) -> dict[str, str]:
        """Return the dotted keys of the model that the normalization decides, with their values."""
        fixed = {"model.activation": self.activation} if self.activation else {}
        if not self.has_layer():
            fixed["model.norm_position"] = "before_activation"  # there is no layer to place
        return fixed

    def refuses(
        self, architecture: str, values: int, pixels: int | None = None, branches: int = 0
    ) -> str | None:
        """Return the reason why this architecture cannot have this normalization, or None.

        Args:
            architecture: its name.
            values: of how many values, at least, a batch's statistics of one feature are taken.
            pixels: how many of them, at least, are of one sample; None where features are no images.
            branches: the residual branches of the net.
        """
        if self.needs_images and pixels is None:
            return (
                f"it takes each feature's statistics over the pixels of one image, and the features of "
                f"'{architecture}' are single numbers"
            )
        if self.needs_images and pixels == 1:
            return (
                "it subtracts each image's own mean, and of the single pixel of the last ones nothing is left"
            )
        if self.needs_branches and not branches:
            return f"it is a rule for residual branches, and this '{architecture}' has none"
        if self.subtracts_mean and values < 2:
            return (
                "it subtracts each unit's mean over the batch, and of a batch of one nothing is left; "
                "data.batch_size must be at least 2"
            )
        return None

    def refuses_features(self, features: int, images: bool) -> str | None:
        """Return the reason why a layer of this many features cannot be normalized, or None."""
        return None


class Affine(nn.Module):
    """A normalization's gain gamma (1) and offset beta (0), both (features,); constants without `affine`.

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
        """Return gamma xhat + beta for (B, F) or (B, F, H, W)."""
        shape = (-1, *[1] * (xhat.dim() - 2))  # (F,) or (F, 1, 1)
        return torch.addcmul(self.bias.view(shape), xhat, self.weight.view(shape))

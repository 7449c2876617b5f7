"""Residual nets for small images (He et al. 2016, arXiv:1512.03385, section 4.2)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.models.base import Model
from normbench.nn.layers import Conv2d, Linear

STAGES = 3


class ResNet(Model):
    """Residual net with 6 n + 2 layers: y = activation(x + f(x)), f has two 3x3 convolutions.

    The net has one convolution, three stages of n blocks with `width`, 2 `width` and 4 `width` channels,
    global average pooling and one linear layer. The second and the third stage halve the image; there the
    shortcut takes every second pixel and pads the channels with zeros, so it has no weights. `norm_position`
    and dropout act inside f.
    """

    name: Literal["resnet"] = "resnet"
    depth: int = Field(
        20, ge=8, le=1202, description="number of layers with weights, 6 n + 2: 8, 14, 20, 32, 44, 56, 110"
    )
    width: int = Field(16, ge=1, description="channels of the first stage")
    residual: bool = Field(True, description="false: the same net without shortcuts, y = f(x)")

    paper: ClassVar[str] = "He et al. 2016, arXiv:1512.03385"
    images: ClassVar[bool] = True

    def blocks(self) -> int:
        """Return n, the number of blocks per stage."""
        return (self.depth - 2) // 6

    def branches(self) -> int:
        """Return the number of residual branches."""
        return STAGES * self.blocks() if self.residual else 0

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse depths other than 6 n + 2."""
        if self.depth % 6 != 2:
            below = 6 * self.blocks() + 2
            return f"depth {self.depth} is not 6 n + 2; the nearest are {below} and {below + 6}"
        return super().refuses(input_shape, batch_size)

    def fewest_values(self, input_shape: tuple[int, ...], batch_size: int) -> int:
        """Return the number of pixels per channel of a batch in the last stage."""
        return batch_size * math.prod(-(-side // 4) for side in input_shape[1:])

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
        inputs, hidden = self.width, nn.Sequential()
        for stage in range(STAGES):
            outputs = self.width * 2**stage
            for index in range(self.blocks()):
                hidden.append(self.residual_block(inputs, outputs, stage, index))
                inputs = outputs
        channels = input_shape[0]
        first = Conv2d(channels, self.width, 3, padding=1, bias=self.needs_bias())
        return ResNetNet(
            nn.Sequential(*self.drop("input").values()),
            self.block(first, channels, self.width),
            hidden,
            nn.Sequential(*self.drop("classifier").values()),
            self.norm.wrap_classifier(Linear(inputs, classes, bias=self.bias is not False)),
        )

    def residual_block(self, inputs: int, outputs: int, stage: int, index: int) -> Block:
        """Return one residual block; the first one of the later stages halves the image.

        Args:
            inputs: number of input channels.
            outputs: number of output channels.
            stage: number of the stage, from 0.
            index: number of the block in its stage, from 0.
        """
        stride = 2 if stage and not index else 1

        def wrap(last: bool):  # type: ignore[no-untyped-def]
            return lambda layer: (
                self.norm.wrap_in_branch(layer, self.branches(), 2, last)
                if self.residual
                else self.norm.wrap(layer)
            )

        bias = self.needs_bias()
        lower = Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
        upper = Conv2d(outputs, outputs, 3, padding=1, bias=bias)
        linear = self.model_copy(update={"activation": "identity"})  # the activation follows the sum
        branch = nn.Sequential(
            self.block(lower, inputs, outputs, wrap(False)), linear.block(upper, outputs, outputs, wrap(True))
        )
        if not self.residual:
            return Block(branch, None, self.activate())
        alpha, beta = self.norm.branch_scales(index)
        # where the shape changes, the shortcut is scaled back to variance 1, too
        scale = self.norm.branch_scales(self.blocks())[1] if stride == 2 else 1.0
        return Block(branch, Shortcut(stride, outputs - inputs), self.activate(), alpha, beta, scale)


class Shortcut(nn.Module):
    """Takes every `stride`-th pixel and adds `more` channels of zeros (option A of the paper)."""

    def __init__(self, stride: int, more: int) -> None:
        super().__init__()
        self.stride, self.more = stride, more

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C + more, ceil(H / stride), ceil(W / stride))."""
        if self.stride > 1:
            x = x[..., :: self.stride, :: self.stride]
        if self.more:
            x = F.pad(x, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return x


class Block(nn.Module):
    """y = activation(s(x / scale) + alpha f(x / (scale beta))); without a shortcut y = activation(f(x)).

    Args:
        branch: f.
        shortcut: s, or None.
        activation: applied to the sum.
        alpha: factor of the branch.
        beta: divides the inputs of the branch.
        scale: divides the inputs of the block.
    """

    def __init__(
        self,
        branch: nn.Module,
        shortcut: nn.Module | None,
        activation: nn.Module,
        alpha: float = 1.0,
        beta: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.branch, self.shortcut, self.activation = branch, shortcut, activation
        self.alpha, self.beta, self.scale = alpha, beta, scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the outputs of the block."""
        if self.shortcut is None:
            return self.activation(self.branch(x))
        if self.scale != 1.0:
            x = x / self.scale
        y = self.branch(x if self.beta == 1.0 else x / self.beta)
        return self.activation(self.shortcut(x) + (y if self.alpha == 1.0 else y * self.alpha))


class ResNetNet(nn.Module):
    """Maps images (B, C, H, W) to logits (B, classes).

    Args:
        before: dropout of the inputs.
        first: the first convolution, with its normalization and activation.
        hidden: the residual blocks.
        late: dropout before the classifier.
        classifier: the last linear layer.
    """

    def __init__(
        self, before: nn.Module, first: nn.Module, hidden: nn.Module, late: nn.Module, classifier: nn.Module
    ) -> None:
        super().__init__()
        self.before, self.first, self.hidden = before, first, hidden
        self.late, self.classifier = late, classifier

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.hidden(self.first(self.before(x)))
        return self.classifier(self.late(x.mean((2, 3))))

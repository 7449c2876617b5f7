"""A small VGG-like convolutional net (Simonyan & Zisserman 2015, arXiv:1409.1556)."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from normbench.models.base import Model
from normbench.nn.layers import Conv2d, Linear

MAX_POOLINGS = 3


class CNN(Model):
    """Convolutional net: `depth` 3x3 convolutions, 2x2 max pooling after every second one (at most three).

    The first convolutions have `width` channels; each pooling doubles the number. The head is `average`
    (global average pooling and one linear layer) or `flatten` (a linear layer over all pixels, whose many
    inputs limit the learning rate). Normalizations act on channels.
    """

    name: Literal["cnn"] = "cnn"
    depth: int = Field(6, ge=1, le=200, description="number of 3x3 convolutions")
    width: int = Field(16, ge=1, description="channels of the first convolution")
    head: Literal["average", "flatten"] = Field(
        "average", description="from pixels to the classifier: global average, or all pixels"
    )

    paper: ClassVar[str] = "Simonyan & Zisserman 2015, arXiv:1409.1556"
    images: ClassVar[bool] = True

    def poolings(self) -> int:
        """Return the number of poolings."""
        return min(self.depth // 2, MAX_POOLINGS)

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse images that are too small for the poolings."""
        poolings, (_, height, width) = self.poolings(), input_shape
        side = 2**poolings
        if min(height, width) < side:
            return f"{poolings} poolings need images of at least {side}x{side}, these are {height}x{width}"
        return super().refuses(input_shape, batch_size)

    def fewest_values(self, input_shape: tuple[int, ...], batch_size: int) -> int:
        """Return the number of pixels per channel of a batch in the last convolution."""
        halvings = min((self.depth - 1) // 2, MAX_POOLINGS)  # before the last convolution
        return batch_size * math.prod(side // 2**halvings for side in input_shape[1:])

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
        inputs, *size = input_shape
        outputs, hidden = self.width, nn.Sequential()
        pooled = 0
        for index in range(self.depth):
            convolution = Conv2d(inputs, outputs, 3, padding=1, bias=self.needs_bias())
            hidden.append(self.block(convolution, inputs, outputs))
            inputs = outputs
            if index % 2 == 1 and pooled < MAX_POOLINGS:
                hidden.append(nn.MaxPool2d(2))
                pooled, outputs = pooled + 1, outputs * 2
        features = inputs
        if self.head == "flatten":
            features *= math.prod(side // 2**pooled for side in size)
        return CNNNet(
            nn.Sequential(*self.drop("input").values()),
            hidden,
            nn.Sequential(*self.drop("classifier").values()),
            self.norm.wrap_classifier(Linear(features, classes, bias=self.bias is not False)),
            average=self.head == "average",
        )


class CNNNet(nn.Module):
    """Maps images (B, C, H, W) to logits (B, classes).

    Args:
        before: dropout of the inputs.
        hidden: the hidden layers.
        late: dropout before the classifier.
        classifier: the last linear layer.
        average: average each channel over its pixels, instead of flattening.
    """

    def __init__(
        self,
        before: nn.Module,
        hidden: nn.Module,
        late: nn.Module,
        classifier: nn.Module,
        average: bool,
    ) -> None:
        super().__init__()
        self.before, self.hidden, self.late, self.classifier = before, hidden, late, classifier
        self.average = average

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = self.hidden(self.before(x))
        x = x.mean((2, 3)) if self.average else x.flatten(1)  # (B, features)
        return self.classifier(self.late(x))

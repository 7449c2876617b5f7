"""The all-convolutional net of the weight-normalization paper (Salimans & Kingma 2016, table 1)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from normbench.models.base import Activation, Model
from normbench.models.cnn import CNNNet
from normbench.nn.layers import Conv2d, Linear

LEAST = 12  # 12 pixels become 6, then 3, then 1


class AllConv(Model):
    """All-convolutional net: two times three 3x3 convolutions and 2x2 max pooling, one 3x3 valid, two 1x1.

    `width` channels before the first pooling, 2 `width` after it (the paper: 96 and 192); dropout after each
    pooling; global average, one dense layer. The paper's Gaussian noise on the input is
    `data.augment.noise`.
    """

    name: Literal["allconv"] = "allconv"
    width: int = Field(96, ge=1, description="channels before the first pooling")
    activation: Activation = Field("leaky_relu", description="after each hidden layer")
    negative_slope: float = Field(0.1, ge=0, description="slope of leaky_relu below 0")
    pool_dropout: float = Field(0.5, ge=0, lt=1, description="probability to drop a unit after each pooling")

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868, table 1"
    images: ClassVar[bool] = True

    def resolve(self) -> Model:
        """Return what really applies."""
        resolved = super().resolve()
        if resolved.activation == "leaky_relu":
            return resolved
        default = type(self).model_fields["negative_slope"].default
        return resolved.model_copy(update={"negative_slope": default})

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse images of which nothing would be left."""
        _, height, width = input_shape
        if min(height, width) < LEAST:
            return (
                f"two poolings and a convolution without padding need images of at least {LEAST}x{LEAST}, "
                f"these are {height}x{width}"
            )
        return super().refuses(input_shape, batch_size)

    def fewest_values(self, input_shape: tuple[int, ...], batch_size: int) -> int:
        """Return the pixels in a batch of the last convolutions' images."""
        _, height, width = input_shape
        return batch_size * (height // 4 - 2) * (width // 4 - 2)

    def bare_activation(self) -> nn.Module:
        """Return the activation, leaky ReLU with this net's slope."""
        if self.activation == "leaky_relu":
            return nn.LeakyReLU(self.negative_slope)
        return super().bare_activation()

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Put the net together."""
        inputs, hidden = input_shape[0], nn.Sequential()
        layers = [(self.width, 3, 1)] * 3 + [(2 * self.width, 3, 1)] * 3
        layers += [(2 * self.width, 3, 0), (2 * self.width, 1, 0), (2 * self.width, 1, 0)]
        for index, (outputs, kernel, padding) in enumerate(layers):
            convolution = Conv2d(inputs, outputs, kernel, padding=padding, bias=self.needs_bias())
            hidden.append(self.block(convolution, inputs, outputs))
            inputs = outputs
            if index in (2, 5):
                hidden.append(nn.MaxPool2d(2))
                if self.pool_dropout:
                    hidden.append(self.norm.dropout(self.pool_dropout))
        return CNNNet(
            nn.Sequential(*self.drop("input").values()),
            hidden,
            nn.Sequential(*self.drop("classifier").values()),
            self.norm.wrap_classifier(Linear(inputs, classes, bias=self.bias is not False)),
            average=True,
        )

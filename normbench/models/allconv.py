"""The all-convolutional net of the weight normalization paper (Salimans & Kingma 2016, arXiv:1602.07868)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import nn

from normbench.models.base import Activation, Model
from normbench.models.cnn import CNNNet
from normbench.nn.layers import Conv2d, Linear

SMALLEST_SIDE = 12  # 12 pixels become 6, then 3, then 1


class AllConv(Model):
    """All-convolutional net: twice three 3x3 convolutions and 2x2 max pooling, then one 3x3 (valid), two 1x1.

    It has `width` channels before the first pooling and 2 `width` after it (96 and 192 in the paper), dropout
    after each pooling, then global average pooling and one linear layer. `data.augment.noise` is the
    Gaussian input noise of the paper.
    """

    name: Literal["allconv"] = "allconv"
    width: int = Field(96, ge=1, description="channels before the first pooling")
    activation: Activation = Field("leaky_relu", description="activation of the hidden layers")
    negative_slope: float = Field(0.1, ge=0, description="slope of leaky_relu for negative inputs")
    pool_dropout: float = Field(
        0.5, ge=0, lt=1, description="probability of dropping a unit after each pooling"
    )

    paper: ClassVar[str] = "Salimans & Kingma 2016, arXiv:1602.07868, table 1"
    images: ClassVar[bool] = True

    def resolve(self) -> Model:
        """Return the options in effect; the slope is reset unless the activation is leaky ReLU."""
        resolved = super().resolve()
        if resolved.activation == "leaky_relu":
            return resolved
        default = type(self).model_fields["negative_slope"].default
        return resolved.model_copy(update={"negative_slope": default})

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse images that are too small for the poolings."""
        _, height, width = input_shape
        if min(height, width) < SMALLEST_SIDE:
            return (
                f"two poolings and a convolution without padding need images of at least "
                f"{SMALLEST_SIDE}x{SMALLEST_SIDE}, these are {height}x{width}"
            )
        return super().refuses(input_shape, batch_size)

    def fewest_values(self, input_shape: tuple[int, ...], batch_size: int) -> int:
        """Return the number of pixels per channel of a batch in the last convolutions."""
        _, height, width = input_shape
        return batch_size * (height // 4 - 2) * (width // 4 - 2)

    def bare_activation(self) -> nn.Module:
        """Return the activation; leaky ReLU has the slope of this net."""
        if self.activation == "leaky_relu":
            return nn.LeakyReLU(self.negative_slope)
        return super().bare_activation()

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
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

"""The multi-layer perceptron."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from normbench.models.base import Model
from normbench.nn.layers import Linear


class MLP(Model):
    """Multi-layer perceptron: `depth` hidden layers of `width` units, then one linear layer.

    Images are flattened. The classifier has no normalization layer, but weight normalization applies to it.
    """

    name: Literal["mlp"] = "mlp"
    depth: int = Field(3, ge=1, le=1000, description="number of hidden layers")
    width: int = Field(100, ge=1, description="units per hidden layer")

    alike_from: ClassVar[int | None] = 1

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
        sizes = [math.prod(input_shape), *[self.width] * self.depth]
        hidden = [
            self.block(Linear(inputs, outputs, bias=self.needs_bias()), inputs, outputs)
            for inputs, outputs in itertools.pairwise(sizes)
        ]
        head = self.norm.wrap_classifier(Linear(self.width, classes, bias=self.bias is not False))
        return MLPNet(
            nn.Sequential(*self.drop("input").values()),
            nn.Sequential(*hidden),
            nn.Sequential(*self.drop("classifier").values()),
            head,
        )


class MLPNet(nn.Module):
    """Maps images (B, C, H, W) or vectors (B, n) to logits (B, classes).

    Args:
        before: dropout of the inputs.
        hidden: the hidden layers.
        late: dropout before the classifier.
        classifier: the last linear layer.
    """

    def __init__(self, before: nn.Module, hidden: nn.Module, late: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.before, self.hidden, self.late, self.classifier = before, hidden, late, classifier

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        x = x.flatten(1)  # (B, C*H*W)
        return self.classifier(self.late(self.hidden(self.before(x))))

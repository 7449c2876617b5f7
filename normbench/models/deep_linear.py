"""The deep linear net (Santurkar et al. 2018, arXiv:1805.11604)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.models.base import Model
from normbench.models.mlp import MLP


class DeepLinear(MLP):
    """Deep linear net: a multi-layer perceptron with `depth` hidden layers and no activations."""

    name: Literal["deep_linear"] = "deep_linear"  # type: ignore[assignment]
    depth: int = Field(25, ge=1, le=1000, description="number of hidden layers")

    alike_from: ClassVar[int | None] = 1
    paper: ClassVar[str] = "Santurkar et al. 2018, arXiv:1805.11604"

    def resolve(self) -> Model:
        """Return the options in effect; there are no activations."""
        return super().resolve().model_copy(update={"activation": "identity"})

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse normalizations that set an activation."""
        if self.norm.activation is not None:
            return f"it sets the activation '{self.norm.activation}', and a linear net has none"
        return super().refuses(input_shape, batch_size)

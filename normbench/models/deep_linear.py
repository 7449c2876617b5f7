"""The deep linear net (Santurkar et al. 2018, arXiv:1805.11604)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from normbench.models.base import Model
from normbench.models.mlp import MLP


class DeepLinear(MLP):
    """Deep linear net: a multi-layer perceptron of `depth` layers without activations."""

    name: Literal["deep_linear"] = "deep_linear"  # type: ignore[assignment]
    depth: int = Field(25, ge=1, le=1000, description="hidden layers")

    paper: ClassVar[str] = "Santurkar et al. 2018, arXiv:1805.11604"

    def resolve(self) -> Model:
        """Return what really applies; there are no activations."""
        return super().resolve().model_copy(update={"activation": "identity"})

    def refuses(self, input_shape: tuple[int, ...], batch_size: int) -> str | None:
        """Refuse a normalization that is an activation."""
        if self.norm.activation is not None:
            return f"it is the activation '{self.norm.activation}', and a linear net has none"
        return super().refuses(input_shape, batch_size)

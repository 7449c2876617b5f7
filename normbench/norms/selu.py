"""Self-normalizing networks (Klambauer et al. 2017, arXiv:1706.02515)."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.nn.layers import AlphaDropout, Noisy
from normbench.norms.base import Normalization


class Selu(Normalization):
    """Self-normalizing net: selu(x) = lambda (x if x > 0 else alpha (e^x - 1)), weights from N(0, 1/n).

    It has no layer and no parameters; n is the number of inputs of a unit. lambda = 1.0507009873554805 and
    alpha = 1.6732632423543772 make mean 0 and variance 1 a fixed point. Dropout becomes alpha dropout, which
    keeps this fixed point.
    """

    name: Literal["selu"] = "selu"

    paper: ClassVar[str] = "Klambauer et al. 2017, arXiv:1706.02515"
    activation: ClassVar[str | None] = "selu"
    dropout: ClassVar[type[Noisy]] = AlphaDropout

    def init(self) -> dict[str, object]:
        """Return LeCun's initialization, which the fixed point needs."""
        return {"scheme": "lecun"}

    def refuses_sequences(self) -> str | None:
        """Refuse recurrent cells: they add two sums, so the variances add up to 2."""
        return "a recurrent cell adds two sums of variance 1, so mean 0 and variance 1 are not a fixed point"

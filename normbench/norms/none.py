"""No normalization: the baseline of comparisons."""

from __future__ import annotations

from typing import Literal

from normbench.norms.base import Normalization


class NoNorm(Normalization):
    """No normalization: y = x."""

    name: Literal["none"] = "none"

"""What a probe declares about each number that it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from normbench.names import NET


@dataclass(frozen=True)
class Quantity:
    """A number that a probe measures. Figures, claims, lists and docs read its declaration.

    Attributes:
        name: `<probe>.<what>`, as in layers.csv. A name that ends in `@` declares a family: each member adds
            a number, as `activations.density@0.5` does.
        label: what figures call it.
        definition: what it is, as the table in docs/probes.md has it, so without `|`.
        unit: its unit, norm or ratio, which figures put in parentheses after the label.
        of: what has such a number: each layer, the whole net, or both.
        over_steps: how one number represents a whole run: the mean over the measured steps, or the last
            measurement for a quantity that accumulates during training.
    """

    name: str
    label: str
    definition: str = ""
    unit: str = ""
    of: Literal["layer", "net", "layer and net"] = "layer"
    over_steps: Literal["mean", "last"] = "mean"

    def text(self, name: str = "") -> str:
        """Return the label with the unit; for a member of a family (`name`) with its number."""
        number = name.partition("@")[2]
        label = f"{self.label} at {number}" if number else self.label
        return f"{label} ({self.unit})" if self.unit else label

    @property
    def listed(self) -> str:
        """Return the name as lists and messages show it: `activations.density@c` for a family."""
        return f"{self.name}c" if self.name.endswith("@") else self.name

    @property
    def owner(self) -> str:
        """Return what has such a number, in the words of messages."""
        return {"layer": "each layer", "net": f"the whole net (layer '{NET}')"}.get(self.of, "both")

    def has(self, layer: str) -> bool:
        """Return whether a layer, or the whole net as `net`, can have such a number."""
        return self.of == "layer and net" or (layer == NET) == (self.of == "net")

    def covers(self, name: str) -> bool:
        """Return whether this declares the quantity `name`."""
        family, at, number = name.partition("@")
        return f"{family}{at}" == self.name and (not at or _is_number(number))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

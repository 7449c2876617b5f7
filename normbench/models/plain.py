"""A plain `nn.Module` as a whole model: of the options that models share it obeys none."""

from __future__ import annotations

from weakref import WeakSet

from pydantic import model_validator
from torch import nn

from normbench.errors import PlanError
from normbench.models.base import Model

_made: WeakSet[nn.Module] = WeakSet()  # all nets that are still there


class PlainModel(Model):
    """Base of the models that a class or function from Python makes, which knows nothing of normbench.

    Its parameters keep the values that the module gives them, drawn from the run's seed. Normalization,
    activation, dropout, initial weights and biases are its own: options that it would ignore are refused.
    """

    @model_validator(mode="after")
    def _refuse_ignored(self) -> PlainModel:
        for key, field in Model.model_fields.items():
            if key != "name" and getattr(self, key) != field.get_default(call_default_factory=True):
                raise ValueError(
                    f"'{self.name}' is a plain module, which ignores model.{key}; leave it out, or derive "
                    "the class from normbench.models.Model and use its layers (docs/your_own_model.md)"
                )
        return self

    def make(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return a new net for inputs (C, H, W)."""
        raise NotImplementedError

    def assemble(self, input_shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the net for inputs (C, H, W)."""
        net = self.make(input_shape, classes)
        if not isinstance(net, nn.Module):
            raise PlanError(f"'{self.name}' makes a {type(net).__name__}; a model is an nn.Module")
        if net in _made:
            raise PlanError(
                f"'{self.name}' returns one module again and again; each run has initial weights of its own, "
                "so make a new module in each call"
            )
        _made.add(net)
        return net

"""Finds cells of a user's model that train the same net, because the model ignores a swept option."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normbench.config import Settings
from normbench.errors import PlanError
from normbench.fidelity.case import STEPS, Case, double_precision
from normbench.fidelity.places import is_own
from normbench.models.base import Model
from normbench.planning.shapes import data_shape

# What a model must do to obey an option that all models have.
_MENDS = {
    "norm": "call `self.norm_layer(features)` and `self.norm.wrap(layer)`",
    "norm_position": "build its layers with `self.block(layer, inputs, features)`",
    "activation": "use `self.activate()`",
    "dropout": "use `self.drop(placement)` or `self.dropout_layer()`",
    "init": "hand its layers to `self.norm.wrap(layer)`, or use normbench.nn.layers.Linear and Conv2d",
    "bias": "use `self.needs_bias()`",
}

LR = 0.05  # of all cells that are compared

Fingerprint = tuple[int, tuple[float, ...]]  # number of parameters, losses


def refuse_equal_cells(cells: Sequence[Settings], data_dir: Path | None) -> None:
    """Raise a PlanError if a user's model trains the same net with two values of an option.

    Args:
        cells: that use plug-ins.
        data_dir: folder of the data sets.
    """
    groups: dict[tuple[object, ...], dict[Model, Settings]] = {}
    for settings in cells:
        if is_own(type(settings.model)):
            optimizer = settings.optimizer
            rest = type(settings.model), settings.data, optimizer.name, settings.train.dtype
            groups.setdefault(rest, {}).setdefault(settings.model, settings)
    for variants in groups.values():
        if len(variants) > 1:
            _refuse_equal(list(variants.values()), data_dir)


def _refuse_equal(variants: Sequence[Settings], data_dir: Path | None) -> None:
    seen: dict[Fingerprint, Settings] = {}
    for settings in variants:
        other = seen.setdefault(fingerprint(settings, data_dir), settings)
        if other is settings:
            continue
        names = [name for name in _MENDS if getattr(other.model, name) != getattr(settings.model, name)]
        if not names:
            continue  # they differ in options of the model's own, which may act later
        name = names[0]
        one, two = (_short(getattr(cell.model, name)) for cell in (other, settings))
        raise PlanError(
            f"model.{name}: '{settings.model.name}' trains the same net with {one} and with {two} (equal "
            f"parameters and losses), so it ignores this option. It must {_MENDS[name]}; or take "
            f"model.{name} out of the sweep"
        )


def fingerprint(settings: Settings, data_dir: Path | None) -> Fingerprint:
    """Return numbers that are equal for two cells only if they train the same net."""
    optimizer = settings.optimizer.model_copy(update={"lr": LR})
    first = settings.model_copy(update={"optimizer": optimizer})
    with double_precision(settings.train.dtype):
        run = Case(first, data_shape(settings.data, data_dir)).plain()
        run.evaluate()
        for _ in range(STEPS):
            run.train()
            run.evaluate()
    count = sum(param.numel() for param in run.params.values())
    return count, (*run.history.train, *run.history.test)


def _short(value: object) -> str:
    """Return an option for people: the name of a normalization, otherwise the value."""
    name = getattr(value, "name", None)
    return f"'{name}'" if name else f"'{value}'"

"""The set-up of a card: data, model, optimizer and steps that its sections share, built in or your own."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normbench.config import SECTIONS, Experiment, load_config
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.names import RATE, VARIANT

if TYPE_CHECKING:
    from normbench.api import ConfigLike

DEPTH = "model.depth"
GAIN = "model.init.gain"
_OF_A_CONFIG = (DEPTH, RATE, VARIANT)  # what its sweep may have


@dataclass(frozen=True)
class Setup:
    """What all experiments of a card share.

    Attributes:
        name: as the card and its folder have it.
        base: sections of the config: data, model, optimizer, train.
        target: test accuracy for the measures of steps and seconds to a target; None: they are left out.
        depths: in the order in which a larger budget adds them; the first is that of the other sections.
            Empty if the model has no depth.
        rates: learning rates of the sections that do not search for the largest one, in rising order.
    """

    name: str
    base: Mapping[str, Any]
    target: float | None
    depths: tuple[int, ...]
    rates: tuple[float, ...] = (0.01, 0.1, 1, 10)

    @property
    def searched(self) -> tuple[float, float]:
        """Return the range in which the largest rate is searched: a decade more on both sides."""
        return _rounded(self.rates[0] / 10), _rounded(self.rates[-1] * 10)

    def get(self, key: str) -> Any:
        """Return what the sections have at a dotted key; None if there is no such key."""
        found: Any = self.base
        for part in key.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found


def _built_in(
    data: dict[str, Any], model: dict[str, Any], train: dict[str, Any], target: float, *depths: int
) -> Setup:
    base = {
        "data": data,
        "model": {**model, "depth": depths[0], "init": {"gain": 1, **model.get("init", {})}},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": train,
    }
    return Setup(data["name"], base, target, depths)


SETUPS: Mapping[str, Setup] = {
    one.name: one
    for one in (
        _built_in(
            {"name": "digits", "batch_size": 64, "val_size": 300},
            {"name": "mlp", "width": 64, "activation": "relu"},
            {"steps": 200, "eval_every": 10},
            *(0.9, 3, 10, 30),
        ),
        _built_in(
            {"name": "mnist", "batch_size": 64, "val_size": 1000, "test_size": 2000},
            {"name": "mlp", "width": 100, "activation": "relu"},
            {"steps": 300, "eval_every": 20},
            *(0.9, 3, 10, 30),
        ),
        _built_in(
            {"name": "cifar10", "batch_size": 32, "val_size": 500, "test_size": 1000},
            {"name": "cnn", "width": 8, "activation": "relu", "init": {"scheme": "he"}},
            {"steps": 300, "eval_every": 50, "trains_below": 0.9},  # too few steps for the default of 0.5
            *(0.3, 4, 10, 20),
        ),
    )
}


def setup_of(data: ConfigLike, target: float | None = None) -> Setup:
    """Return the set-up of a name or of a config.

    A card takes data, model, optimizer and train from a config. The depths and learning rates that the config
    sweeps are those of the card. Without such sweeps it has the one depth, and rates from a tenth of the
    config's to a hundred times it.

    Args:
        data: name of a built-in set-up, or a config as for `run`.
        target: test accuracy for the measures of steps and seconds to a target, in place of the built-in one.

    Raises:
        ConfigError: the config has problems.
        NormbenchError: the name is unknown, or a card cannot use the config.
    """
    if target is not None and not 0 < target < 1:
        raise NormbenchError(f"--target: found {target:g}; allowed: a test accuracy between 0 and 1")
    if not isinstance(data, str) or Path(data).suffix in (".yaml", ".yml"):
        source = str(data) if isinstance(data, (str, Path)) else "config"
        return _of_config(load_config(data), source, target)
    if data not in SETUPS:
        hint = did_you_mean(data, SETUPS)
        raise NormbenchError(
            f"--data: '{data}' is unknown here; {hint}{one_of(SETUPS)}; your own data and model: the path of "
            "a config (.yaml)"
        )
    return SETUPS[data] if target is None else replace(SETUPS[data], target=target)


def _of_config(experiment: Experiment, source: str, target: float | None) -> Setup:
    """Return the set-up of a config; `source` names it in messages."""
    if experiment.name in SETUPS:
        raise NormbenchError(
            f"{source}: name: '{experiment.name}' is that of a built-in set-up; call it something else"
        )
    if others := [column for column in experiment.columns if column not in _OF_A_CONFIG]:
        raise NormbenchError(
            f"{source}: sweep.{others[0]}: a card sweeps of a config the depth and the learning rate alone; "
            f"set one value of {others[0]} in its section"
        )
    base: dict[str, Any] = {name: copy.deepcopy(experiment.raw[name]) for name in SECTIONS}
    swept_rates = (experiment.raw.get("sweep") or {}).get(RATE)
    if isinstance(swept_rates, Mapping) and "edge" in swept_rates:
        raise NormbenchError(
            f"{source}: sweep.{RATE}: a card searches the largest rate itself; give a few rates a decade "
            "apart, such as [0.01, 0.1, 1]"
        )
    if not base["data"].get("val_size"):
        raise NormbenchError(
            f"{source}: data.val_size: missing; a card chooses learning rates on validation images, so set "
            "it to a few hundred"
        )
    base["model"].pop("norm", None)  # the card's own
    settings = [cell.settings for cell in experiment.cells]
    depths = tuple(dict.fromkeys(depth for one in settings if (depth := getattr(one.model, "depth", None))))
    if depths:
        base["model"]["depth"] = depths[0]
    rates = sorted({float(rate) for one in settings if (rate := getattr(one.optimizer, "lr", None))})
    if not rates:
        name = settings[0].optimizer.name
        raise NormbenchError(f"{source}: optimizer.name: '{name}' has no `lr`, which a card sweeps")
    if len(rates) == 1:
        rates = [_rounded(rates[0] * factor) for factor in (0.1, 1, 10, 100)]
    base["optimizer"].setdefault("lr", rates[len(rates) // 2])
    return Setup(experiment.name, base, target, depths, tuple(rates))


def _rounded(rate: float) -> float:
    """Return a rate without the last digits, in which products such as 0.1 * 0.1 are off."""
    return float(f"{rate:.6g}")

"""The sections of a card: small experiments as configs, what is read of each, and in which order they grow.

To add a section: write an entry of `SECTIONS`, and say in `RUNGS` when it comes and grows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from normbench.names import RATE, VARIANT

Better = Literal["higher", "lower"]
By = Literal["ratio", "difference"]
Config = dict[str, Any]


@dataclass(frozen=True)
class Setup:
    """What all experiments on one data set share.

    Attributes:
        base: sections of the config: data, model, optimizer, train.
        target: test accuracy for the measures of steps and seconds to a target.
        depths: in the order in which a larger budget adds them; the first is that of the other sections.
    """

    base: Mapping[str, Any]
    target: float
    depths: tuple[int, ...]


def _setup(data: Config, model: Config, steps: int, eval_every: int, target: float, *depths: int) -> Setup:
    base = {
        "data": data,
        "model": {**model, "depth": depths[0], "init": {"gain": 1}},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"steps": steps, "eval_every": eval_every},
    }
    return Setup(base, target, depths)


SETUPS: Mapping[str, Setup] = {
    "digits": _setup(
        {"name": "digits", "batch_size": 64, "val_size": 300},
        {"name": "mlp", "width": 64, "activation": "relu"},
        *(200, 10, 0.9, 3, 10, 30),
    ),
    "mnist": _setup(
        {"name": "mnist", "batch_size": 64, "val_size": 1000, "test_size": 2000},
        {"name": "mlp", "width": 100, "activation": "relu"},
        *(300, 20, 0.9, 3, 10, 30),
    ),
    "cifar10": _setup(
        {"name": "cifar10", "batch_size": 32, "val_size": 500, "test_size": 1000},
        {"name": "cnn", "width": 8, "activation": "relu"},
        *(300, 50, 0.3, 4, 10, 20),
    ),
}


@dataclass(frozen=True)
class Reading:
    """One number of the card, read at each value of its section's key.

    Attributes:
        name: unique in its section.
        title: what the card calls it.
        measure: as a claim names it.
        better: which direction is better; None: it is shown and not ranked.
        by: how two normalizations are compared.
        unit: of the number; a `share` is shown in percent, a difference of shares in `points`.
        to_target: whether the setup's target completes the measure.
        changes: whether its change from the section's standard setting is shown.
        note: what a reader must know.
        counted: whether it is counted exactly, so that seeds have equal numbers and chance has no part in it.
    """

    name: str
    title: str
    measure: Mapping[str, Any]
    better: Better | None
    by: By = "difference"
    unit: str = ""
    to_target: bool = False
    changes: bool = False
    note: str = ""
    counted: bool = False

    def measured(self, setup: Setup) -> dict[str, Any]:
        """Return the measure as a claim has it."""
        return {**self.measure, **({"target": setup.target} if self.to_target else {})}


@dataclass(frozen=True)
class Section:
    """One experiment.

    Attributes:
        name: of its folder and config.
        title: what the card calls it.
        question: that it answers.
        readings: the numbers that are read of it.
        key: that it sweeps beside normalizations and rates; empty if none.
        words: how a value of the key is shown: `batch size {}`.
        rates: of `optimizer.lr`; None: one rate, that of the setup.
        extra: settings that differ from the setup, by dotted key.
        probes: that measure.
        alone: whether its stacks are trained one after the other, because times are measured.
    """

    name: str
    title: str
    question: str
    readings: tuple[Reading, ...]
    key: str = ""
    words: str = "{}"
    rates: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    probes: tuple[str, ...] = ()
    alone: bool = False

    def standard(self, setup: Setup) -> Any:
        """Return the setting with which the others are compared: that of the setup; None without a key."""
        if not self.key:
            return None
        found: Any = setup.base
        for part in self.key.split("."):
            found = found[part]
        return found

    def shown(self, value: Any) -> str:
        """Return a value of the key as the card calls it; empty without a key."""
        return self.words.format(value) if self.key else ""


@dataclass(frozen=True)
class Size:
    """How much of a section is trained: its seeds, and the values of its key."""

    seeds: int
    values: tuple[Any, ...] = ()
    precision: float = 1.5  # of the search for the largest rate


@dataclass(frozen=True)
class Rung:
    """A step of the ladder: after it, the section `section` has this size. `adds` says what it adds."""

    section: str
    size: Size
    adds: str


_AT_BEST = {"name": "final_accuracy"}
_ACCURACY = Reading(
    "accuracy", "final test accuracy at the best rate", _AT_BEST, "higher", unit="share", changes=True
)
_COST = {"name": "probe", "probe": "cost", "layer": "net", "aggregate": "min", "at": "equal_rates"}
_COARSE = [0.01, 0.1, 1, 10]

SECTIONS: Mapping[str, Section] = {
    one.name: one
    for one in (
        Section(
            "rates",
            "Learning rates, speed and accuracy, by depth",
            "Which learning rates train, how fast, and how well?",
            (
                Reading("largest_rate", "largest stable rate", {"name": "max_stable_lr"}, "higher", "ratio"),
                Reading(
                    "decades",
                    "range of rates that train",
                    {"name": "decades_of_rates"},
                    "higher",
                    unit="decades",
                ),
                Reading(
                    "share",
                    "share of the rates that train",
                    {"name": "share_that_trains"},
                    "higher",
                    unit="share",
                ),
                Reading(
                    "sensitivity",
                    "sensitivity to the rate (mean excess loss)",
                    {"name": "lr_sensitivity"},
                    "lower",
                    unit="nats",
                    note="Sensitivity to the rate: mean excess of the final test loss over the best one, "
                    "over the decades swept (Wortsman et al. 2023, arXiv:2309.14322).",
                ),
                Reading(
                    "steps",
                    "steps to the target",
                    {"name": "steps_to_target"},
                    "lower",
                    "ratio",
                    "steps",
                    to_target=True,
                ),
                Reading(
                    "seconds",
                    "seconds to the target",
                    {"name": "seconds_to_target"},
                    None,
                    "ratio",
                    "s",
                    to_target=True,
                    note="Seconds to the target are not ranked: the seeds of a normalization train in one "
                    "stack, so their times are no independent measurements. Seconds of a step are.",
                ),
                _ACCURACY,
                Reading(
                    "gap",
                    "training minus test accuracy",
                    {"name": "generalisation_gap"},
                    "lower",
                    unit="points",
                ),
                Reading(
                    "inference",
                    "training accuracy lost at inference",
                    {"name": "inference_gap"},
                    "lower",
                    unit="points",
                    note="Accuracy lost at inference: training accuracy of the last batches, in training "
                    "mode, minus that at inference after the last step. The weights still improve between "
                    "the two, so that it is often slightly below 0.",
                ),
            ),
            key="model.depth",
            words="depth {}",
            rates="edge",
        ),
        Section(
            "batches",
            "Sensitivity to the batch size",
            "How well does it train with few images in a batch?",
            (_ACCURACY,),
            key="data.batch_size",
            words="batch size {}",
            rates=_COARSE,
        ),
        Section(
            "initialization",
            "Sensitivity to the initial weights",
            "How well does it train from initial weights that are too small or too large?",
            (_ACCURACY,),
            key="model.init.gain",
            words="initial weights x {}",
            rates=_COARSE,
        ),
        Section(
            "cost",
            "Cost of a training step",
            "What does one step take?",
            (
                Reading(
                    "step_seconds",
                    "seconds of a step",
                    {**_COST, "quantity": "cost.step_seconds"},
                    "lower",
                    "ratio",
                    "s",
                ),
                Reading(
                    "saved_bytes",
                    "bytes kept for the backward pass",
                    {**_COST, "quantity": "cost.saved_bytes"},
                    "lower",
                    "ratio",
                    "bytes",
                    counted=True,
                ),
            ),
            extra={"train.steps": 2, "train.eval_every": 2},
            probes=("cost",),
            alone=True,
        ),
    )
}


def rungs(setup: Setup) -> list[Rung]:
    """Return the ladder: each rung only adds to its section, so that no run is trained twice."""
    shallow, deep, deepest = setup.depths
    batch = SECTIONS["batches"].standard(setup)
    few, more = (1, 8, batch), (1, 2, 8, batch)
    gains, wide = (0.25, 1, 4), (0.1, 0.25, 1, 4, 10)

    def rates(seeds: int, *depths: int, precision: float = 1.5) -> Size:
        return Size(seeds, depths, precision)

    return [
        Rung("rates", rates(3, shallow), f"learning rates at depth {shallow}, 3 seeds"),
        Rung("cost", Size(6), "the cost of a step, 6 seeds"),
        Rung("batches", Size(3, few), "batch sizes 1 and 8, 3 seeds"),
        Rung("initialization", Size(3, gains), "initial weights x 0.25 and x 4, 3 seeds"),
        Rung("rates", rates(3, shallow, deep), f"depth {deep}, 3 seeds"),
        Rung("rates", rates(6, shallow, deep), "6 seeds of the learning rates (the fewest for steps)"),
        Rung("batches", Size(6, few), "6 seeds of the batch sizes"),
        Rung("initialization", Size(6, gains), "6 seeds of the initial weights"),
        Rung("rates", rates(6, shallow, deep, deepest), f"depth {deepest}, 6 seeds"),
        Rung("batches", Size(6, more), "batch size 2"),
        Rung("initialization", Size(6, wide), "initial weights x 0.1 and x 10"),
        Rung("rates", rates(10, shallow, deep, deepest), "10 seeds of the learning rates"),
        Rung(
            "rates",
            rates(10, shallow, deep, deepest, precision=1.1),
            "a finer search for the largest rate (factor 1.1)",
        ),
        Rung("batches", Size(10, more), "10 seeds of the batch sizes"),
        Rung("initialization", Size(10, wide), "10 seeds of the initial weights"),
        Rung("cost", Size(10), "10 seeds of the cost"),
        Rung("rates", rates(20, shallow, deep, deepest, precision=1.1), "20 seeds of the learning rates"),
    ]


def config_of(
    section: Section,
    setup: Setup,
    norms: Sequence[str],
    size: Size,
    without: Collection[tuple[str, Any]] = (),
) -> Config:
    """Return the config of a section.

    Args:
        section: the experiment.
        setup: of the data set.
        norms: the compared normalizations.
        size: seeds, values and precision.
        without: pairs of a normalization and a value that cannot be trained.
    """
    base = {name: dict(part) for name, part in setup.base.items()}
    for key, value in section.extra.items():
        name, option = key.split(".")
        base[name][option] = value
    sweep: Config = {VARIANT: list(norms)}
    if section.key:
        sweep[section.key] = list(size.values)
    if section.rates == "edge":
        sweep[RATE] = {"edge": {"from": 0.001, "to": 100, "precision": size.precision}}
    elif section.rates is not None:
        sweep[RATE] = list(section.rates)
    if without:
        sweep["exclude"] = [
            {VARIANT: norm, **({section.key: value} if section.key else {})} for norm, value in without
        ]
    found: Config = {"name": section.name, "title": section.title, "seeds": size.seeds, **base}
    if section.probes:
        found["probes"] = list(section.probes)
    return {**found, "sweep": sweep}

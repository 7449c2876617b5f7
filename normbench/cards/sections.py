"""The sections of a card: small experiments as configs, what is read of each, and in which order they grow.

To add a section: write an entry of `SECTIONS`, and say in `RUNGS` when it comes and grows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from normbench.analysis.variants import number
from normbench.cards.setups import DEPTH, GAIN, Setup
from normbench.names import RATE, VARIANT

Better = Literal["higher", "lower"]
By = Literal["ratio", "difference"]
Config = dict[str, Any]


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
        needs_key: whether it is left out where the setup has nothing at the key. Else it is trained without.
        rates: a search for the largest one, some rates of the setup, or the one that the setup has.
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
    needs_key: bool = True
    rates: Literal["edge", "some", "one"] = "one"
    extra: Mapping[str, Any] = field(default_factory=dict)
    probes: tuple[str, ...] = ()
    alone: bool = False

    def standard(self, setup: Setup) -> Any:
        """Return the setting with which the others are compared: that of the setup; None without a key."""
        return setup.get(self.key) if self.key else None

    def shown(self, value: Any) -> str:
        """Return a value of the key as the card calls it; empty without a key."""
        return self.words.format(number(value)) if self.key else ""


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
_GAINS, _WIDE = (0.25, 1, 4), (0.1, 0.25, 1, 4, 10)  # factors of the usual initial weights
_COST = {"name": "probe", "probe": "cost", "layer": "net", "aggregate": "min", "at": "equal_rates"}

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
            key=DEPTH,
            words="depth {}",
            needs_key=False,
            rates="edge",
        ),
        Section(
            "batches",
            "Sensitivity to the batch size",
            "How well does it train with few images in a batch?",
            (_ACCURACY,),
            key="data.batch_size",
            words="batch size {}",
            rates="some",
        ),
        Section(
            "initialization",
            "Sensitivity to the initial weights",
            "How well does it train from initial weights that are too small or too large?",
            (_ACCURACY,),
            key=GAIN,
            words="initial weights x {}",
            rates="some",
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


def sections_of(setup: Setup) -> dict[str, Section]:
    """Return the sections that a set-up can have, by name."""
    found = {}
    for name, section in SECTIONS.items():
        if section.key and setup.get(section.key) is None:
            if section.needs_key:
                continue
            section = replace(section, key="")
        readings = tuple(one for one in section.readings if setup.target is not None or not one.to_target)
        found[name] = replace(section, readings=readings)
    return found


def lacking(setup: Setup) -> list[str]:
    """Return what a set-up cannot have of a card, each with its reason."""
    found = [
        f"{section.title}: {setup.name} has no {section.key}"
        for section in SECTIONS.values()
        if section.key and setup.get(section.key) is None
    ]
    if setup.target is None:
        found.append("steps and seconds to a target: no target accuracy is given (--target)")
    return found


def rungs(setup: Setup) -> list[Rung]:
    """Return the ladder: each rung only adds to its section, so that no run is trained twice."""
    depths, here = setup.depths, sections_of(setup)
    batch, gain = setup.get(SECTIONS["batches"].key), setup.get(GAIN) or 1
    few, more = _unlike(1, 8, batch), _unlike(1, 2, 8, batch)
    gains, wide = (tuple(gain * factor for factor in factors) for factors in (_GAINS, _WIDE))
    at = f" at depth {depths[0]}" if depths else ""

    def rates(seeds: int, count: int, precision: float = 1.5) -> Size:
        return Size(seeds, depths[:count], precision)

    def deeper(seeds: int, first: int, last: int) -> list[Rung]:
        return [
            Rung("rates", rates(seeds, place), f"depth {depths[place - 1]}, {seeds} seeds")
            for place in range(first, last + 1)
        ]

    every = len(depths)
    ladder = [
        Rung("rates", rates(3, 1), f"learning rates{at}, 3 seeds"),
        Rung("cost", Size(6), "the cost of a step, 6 seeds"),
        Rung("batches", Size(3, few), "batch sizes 1 and 8, 3 seeds"),
        Rung("initialization", Size(3, gains), f"initial weights x {gains[0]:g} and x {gains[2]:g}, 3 seeds"),
        *deeper(3, 2, min(2, every)),
        Rung("rates", rates(6, 2), "6 seeds of the learning rates (the fewest for steps)"),
        Rung("batches", Size(6, few), "6 seeds of the batch sizes"),
        Rung("initialization", Size(6, gains), "6 seeds of the initial weights"),
        *deeper(6, 3, every),
        Rung("batches", Size(6, more), "batch size 2"),
        Rung("initialization", Size(6, wide), f"initial weights x {wide[0]:g} and x {wide[4]:g}"),
        Rung("rates", rates(10, every), "10 seeds of the learning rates"),
        Rung("rates", rates(10, every, 1.1), "a finer search for the largest rate (factor 1.1)"),
        Rung("batches", Size(10, more), "10 seeds of the batch sizes"),
        Rung("initialization", Size(10, wide), "10 seeds of the initial weights"),
        Rung("cost", Size(10), "10 seeds of the cost"),
        Rung("rates", rates(20, every, 1.1), "20 seeds of the learning rates"),
    ]
    sizes: dict[str, Size] = {}
    found = []
    for rung in ladder:
        if rung.section in here and sizes.get(rung.section) != rung.size:  # some add nothing to one depth
            sizes[rung.section] = rung.size
            found.append(rung)
    return found


def _unlike(*sizes: int) -> tuple[int, ...]:
    return tuple(sorted(set(sizes)))


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
        low, high = setup.searched
        sweep[RATE] = {"edge": {"from": low, "to": high, "precision": size.precision}}
    elif section.rates == "some":
        sweep[RATE] = list(setup.rates)
    if without:
        sweep["exclude"] = [
            {VARIANT: norm, **({section.key: value} if section.key else {})} for norm, value in without
        ]
    found: Config = {"name": section.name, "title": section.title, "seeds": size.seeds, **base}
    if section.probes:
        found["probes"] = list(section.probes)
    return {**found, "sweep": sweep}

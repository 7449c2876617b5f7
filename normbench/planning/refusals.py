"""Combinations that cannot be trained, and probes that cannot be measured, each with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path

from torch import nn

from normbench.config import Experiment, Settings
from normbench.counts import counted
from normbench.data.base import DataOptions
from normbench.errors import NormbenchError, PlanError
from normbench.memo import Memo
from normbench.models import Model
from normbench.models.build import build_net
from normbench.planning.net_cost import refusal
from normbench.planning.shapes import data_shape
from normbench.plugins import blame
from normbench.probes import Probe


def refuse_impossible(experiment: Experiment, data_dir: Path | None) -> None:
    """Raise a `PlanError` with one line for each distinct reason why cells cannot be trained."""
    reasons: dict[str, int] = {}
    judge = Memo(partial(why_impossible, data_dir=data_dir))
    for cell in experiment.cells:
        model = cell.settings.model
        reason = judge(model, cell.settings.data)
        if reason:
            norm, depth = model.norm.name, getattr(model, "depth", "")
            line = f"{model.name} (depth {depth}) with {norm}: {reason}"
            reasons[line] = reasons.get(line, 0) + 1
    if reasons:
        lines = [f"{line} ({counted(count, 'cell')})" for line, count in reasons.items()]
        raise PlanError(
            "\n".join(["these combinations cannot be trained; leave them out with `exclude`:", *lines])
        )


def why_impossible(model: Model, data: DataOptions, data_dir: Path | None) -> str | None:
    """Return the reason why a net cannot be trained on this data, or None."""
    info = data_shape(data, data_dir)
    try:
        return refusal(model, info.input_shape, info.classes, data.batch_size)
    except NormbenchError:
        raise
    except Exception as error:  # a plug-in's layer may raise anything
        fault = blame(error)
        if fault is None:  # a bug of ours keeps its traceback
            raise
        raise PlanError(f"{fault} (while '{model.name}' with '{model.norm.name}' is built)") from error


def unserved(experiment: Experiment, data_dir: Path | None) -> list[str]:
    """Return a sentence for each probe and reason why some cells are not measured.

    Raises:
        PlanError: a probe can be measured in no cell.
    """
    found: dict[tuple[str, str], int] = {}
    served: set[str] = set()
    judged: dict[tuple[str, int, int, int], tuple[bool, str]] = {}
    for cell in experiment.cells:
        settings = cell.settings
        for probe in experiment.probes:
            # cells share equal sections
            key = (probe.name, id(settings.model), id(settings.data), settings.train.steps)
            if key not in judged:
                judged[key] = _serves(probe, settings, data_dir)
            serves, reason = judged[key]
            if serves:
                served.add(probe.name)
            if reason:
                found[probe.name, reason] = found.get((probe.name, reason), 0) + 1
    lines = {key: f"probe {key[0]}, {key[1]} ({counted(count, 'cell')})" for key, count in found.items()}
    if hopeless := [line for (name, _), line in lines.items() if name not in served]:
        raise PlanError("\n".join(["these probes cannot be measured; take them out:", *hopeless]))
    return [f"not measured: {line}" for line in lines.values()]


def _serves(probe: Probe, settings: Settings, data_dir: Path | None) -> tuple[bool, str]:
    """Return whether a probe measures anything in these runs, and what it does not measure and why."""
    model, last = settings.model, settings.train.steps
    reason = probe.refuses(_net(model, data_shape(settings.data, data_dir).input_shape), settings)
    if reason is not None:
        return False, f"{model.name} with {model.norm.name}: {reason}"
    beyond = [step for step in probe.steps or () if step > last]
    text = f"its step {max(beyond)} lies beyond the last one, {last}" if beyond else ""
    return bool(probe.schedule(last, [0])), text


def served_probes(probes: Iterable[Probe], settings: Settings, data_dir: Path | None) -> list[Probe]:
    """Return the probes that can be measured in runs with these settings."""
    return [probe for probe, _ in probe_costs(probes, settings, data_dir, "looped")]


def probe_costs(
    probes: Iterable[Probe], settings: Settings, data_dir: Path | None, executor: str
) -> list[tuple[Probe, float]]:
    """Return the probes that can be measured in some runs, each with the cost of one measurement.

    Args:
        probes: to choose from.
        settings: of the runs.
        data_dir: folder of the data sets.
        executor: that trains the runs.

    Returns:
        Probes, each with its cost in training steps of the same net.
    """
    chosen = list(probes)
    if not chosen:
        return []
    net = _net(settings.model, data_shape(settings.data, data_dir).input_shape)
    return [(probe, probe.cost_in(net, executor)) for probe in chosen if probe.refuses(net, settings) is None]


@lru_cache(maxsize=256)
def _net(model: Model, input_shape: tuple[int, ...]) -> nn.Module:
    """Return a net without storage, for a look at its parts and their names."""
    return build_net(model, input_shape, classes=2, stored=False)

"""Trains what a card needs: plans the sections within the budget, then runs each that is not complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from normbench import api
from normbench.cards.budget import Chosen, fit
from normbench.cards.sections import SECTIONS, Config, Section, Size, config_of, rungs, sections_of
from normbench.cards.setups import Setup, setup_of
from normbench.config import parse_config
from normbench.counts import counted
from normbench.errors import NormbenchError, PlanError, did_you_mean, one_of
from normbench.launch.idle import workers_stay
from normbench.launch.kept import load_kept_in
from normbench.launch.reporter import Reporter
from normbench.norms import NORMS
from normbench.paths import expanded
from normbench.planning.estimate import START_SECONDS, estimate
from normbench.planning.plan import choose_device, make_plan
from normbench.planning.refusals import why_impossible
from normbench.plugins import load_plugins
from normbench.records.files import write_file
from normbench.registry import full_name

Refused = Mapping[tuple[str, Any], str]  # a normalization and a value of the section's key -> the reason


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes:
        norm: the normalization that the card is about.
        against: those that it is compared with.
        data: name of a set-up, or a config.
        target: test accuracy for steps and seconds to a target, in place of the set-up's.
        budget: seconds of training, by the estimate of `plan`.
        results: folder of results.
        data_dir: folder of the data sets.
        device: that trains.
        launcher: of the sections whose times do not matter.
        plugins: files.
    """

    norm: str
    against: Sequence[str] = ("batchnorm", "layernorm", "none")
    data: api.ConfigLike = "digits"
    target: float | None = None
    budget: float = 600.0
    results: str | Path = "results"
    data_dir: str | Path | None = None
    device: str = "auto"
    launcher: str = "local"
    plugins: Sequence[str | Path] = ()


@dataclass(frozen=True)
class Prepared:
    """What will be trained.

    Attributes:
        request: what is asked for.
        folder: of the card; each section has its own folder and config in it.
        norms: the normalization of the card, then the others.
        setup: what the sections share.
        sections: that the set-up can have, by name.
        chosen: the sections with their sizes, and what is left out.
        refused: of each section, what cannot be trained.
    """

    request: Request
    folder: Path
    norms: tuple[str, ...]
    setup: Setup
    sections: Mapping[str, Section]
    chosen: Chosen
    refused: Mapping[str, Refused]


@dataclass(frozen=True)
class Trained:
    """What was done: numbers of runs, seconds, and whether it was stopped before the end."""

    prepared: Prepared
    trained: int = 0
    skipped: int = 0
    crashed: int = 0
    seconds: float = 0.0
    interrupted: bool = False


def prepare(request: Request, say: Callable[[str], None] = lambda text: None) -> Prepared:
    """Return what a request trains within its budget. Nothing is written.

    Raises:
        NormbenchError: a name is unknown, or the budget is too small for the first section.
    """
    load_plugins(request.plugins)
    results, setup = expanded(request.results, "results"), setup_of(request.data, request.target)
    sections, ladder = sections_of(setup), rungs(setup)
    norm = _named(request.norm, results, setup, say)
    folder = _folder(results, norm, setup)
    others = dict.fromkeys(_full("--against", name) for name in request.against)
    norms = tuple(dict.fromkeys([norm, *others]))
    if len(norms) < 2:
        raise NormbenchError(f"--against: names nothing but '{norm}'; name other normalizations beside it")
    data_dir = None if request.data_dir is None else Path(request.data_dir)
    device = choose_device(request.device)
    refused: dict[str, dict[tuple[str, Any], str]] = {}
    for name, section in sections.items():
        values = dict.fromkeys(value for rung in ladder if rung.section == name for value in rung.size.values)
        refused[name] = _refused(section, setup, norms, Size(1, tuple(values)), data_dir)
    depths = setup.depths or (None,)
    if all((norm, depth) in refused["rates"] for depth in depths):
        reason = refused["rates"][norm, depths[0]]
        raise PlanError(f"'{norm}' has no card on {setup.name}, where it cannot be trained: {reason}")

    def cost(name: str, size: Size) -> float:
        text = _text(_config(sections[name], setup, norms, size, refused[name]))
        plan = make_plan(parse_config(text, name), data_dir, device)
        return sum(stack.seconds for stack in estimate(plan).stacks)

    chosen = fit(ladder, request.budget, cost, START_SECONDS)
    if not chosen.sizes:
        least = chosen.next_seconds or 0.0
        raise NormbenchError(
            f"--budget: {request.budget:g} s is too little for the smallest card, which takes about "
            f"{least:.0f} s; give it more, such as --budget {max(round(least * 1.2), 1)}s"
        )
    return Prepared(request, folder, norms, setup, sections, chosen, refused)


def train(
    prepared: Prepared,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Trained:
    """Train what the records do not have yet; return what was done.

    Args:
        prepared: what to train.
        reporter: hears about the progress.
        should_stop: as for `api.run`.

    Raises:
        NormbenchError: data or a results folder cannot be used.
    """
    prepared.folder.mkdir(parents=True, exist_ok=True)
    with workers_stay():
        return _train_sections(prepared, reporter or Reporter(), should_stop)


def _train_sections(
    prepared: Prepared, reporter: Reporter, should_stop: Callable[[], bool] | None
) -> Trained:
    request, sizes, done = prepared.request, prepared.chosen.sizes, Trained(prepared)
    for place, (name, size) in enumerate(sizes.items(), start=1):
        section = prepared.sections[name]
        config = _config(section, prepared.setup, prepared.norms, size, prepared.refused[name])
        path = prepared.folder / f"{name}.yaml"
        write_file(path, _text(config).encode())
        where = f"section {place} of {len(sizes)}"
        reporter.message(f"{where}: {section.title}: {_size_text(section, size)}; planning it")
        found = api.run(
            path,
            results=prepared.folder,
            data_dir=request.data_dir,
            device=request.device,
            launcher="local" if section.alone else request.launcher,
            keep_old=True,  # of an earlier version of a plug-in, or of other normalizations
            reporter=reporter,
            should_stop=should_stop,
            plugins=request.plugins,
        )
        done = Trained(
            prepared,
            done.trained + found.trained,
            done.skipped + found.skipped,
            done.crashed + found.crashed,
            done.seconds + found.seconds,
            found.interrupted,
        )
        if done.interrupted:
            break
    return done


def _folder(results: Path, norm: str, setup: Setup) -> Path:
    return results / f"scorecard_{norm}_{setup.name}"


def _named(name: str, results: Path, setup: Setup, say: Callable[[str], None]) -> str:
    """Return the full name of the card's normalization; load it as an earlier card keeps it, if need be."""
    if full_name(NORMS.entries, name) not in NORMS.entries:
        for sentence in load_kept_in([_folder(results, name, setup) / one for one in SECTIONS]):
            say(sentence)
    return _full("NORM", name)


def _full(what: str, name: str) -> str:
    found = full_name(NORMS.entries, name)
    if found is None or found not in NORMS.entries:
        raise NormbenchError(
            f"{what}: the normalization '{name}' is unknown; {did_you_mean(name, NORMS)}{one_of(NORMS)}; "
            "your own: --plugin FILE"
        )
    return found


def _config(section: Section, setup: Setup, norms: Sequence[str], size: Size, refused: Refused) -> Config:
    """Return the config of a section without what cannot be trained."""
    there = [norm for norm in norms if not all((norm, value) in refused for value in size.values or [None])]
    without = [pair for pair in refused if pair[0] in there and pair[1] in size.values]
    return config_of(section, setup, there, size, without)


def _text(config: Config) -> str:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)


def _refused(
    section: Section, setup: Setup, norms: Sequence[str], size: Size, data_dir: Path | None
) -> dict[tuple[str, Any], str]:
    """Return which normalizations cannot be trained at which values of the key, each with its reason."""
    reason_of = partial(why_impossible, data_dir=data_dir)
    found: dict[tuple[str, Any], str] = {}
    for norm in norms:
        for value in size.values or (None,):
            one = Size(1, (value,) if section.key else ())
            cell = parse_config(_text(config_of(section, setup, [norm], one)), section.name).cells[0]
            if reason := reason_of(cell.settings.model, cell.settings.data):
                found[norm, value] = reason
    return found


def _size_text(section: Section, size: Size) -> str:
    values = ", ".join(map(section.shown, size.values))
    return ", ".join(filter(None, [values, counted(size.seeds, "seed")]))

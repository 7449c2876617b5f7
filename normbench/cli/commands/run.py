"""`normbench run`: train what is missing, draw, print the table."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli.options import (
    Configs,
    DataDir,
    Device,
    DeviceOption,
    Executor,
    ExecutorOption,
    Json,
    Launcher,
    Overrides,
    Plugins,
    Retry,
    ShardOption,
)
from normbench.cli.output import duration, print_json, print_rich, say, say_reading, width
from normbench.counts import counted
from normbench.durations import seconds_of
from normbench.errors import ExitCode, NormbenchError, RecordsError

if TYPE_CHECKING:
    from normbench.launch.session import Finished
    from normbench.planning.plan import Plan


def run(
    configs: Configs,
    overrides: Overrides = None,
    results: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that holds the results folders.")
    ] = Path("results"),
    data_dir: DataDir = None,
    plugin: Plugins = None,
    device: DeviceOption = Device.auto,
    executor: ExecutorOption = Executor.auto,
    threads: Annotated[
        Optional[int],
        typer.Option(min=1, help="CPU threads of each process. Default: chosen by a fixed rule."),
    ] = None,
    launcher: Annotated[
        Launcher,
        typer.Option(
            case_sensitive=False,
            help="local: in this process; processes: one stack in each worker; ray: on a Ray cluster; auto: "
            "local or processes, by a fixed rule.",
        ),
    ] = Launcher.auto,
    workers: Annotated[
        Optional[int],
        typer.Option(
            min=1,
            help="Number of processes. Default: one for each core, with one thread. With ray: the most.",
        ),
    ] = None,
    address: Annotated[
        Optional[str],
        typer.Option(
            metavar="ADDRESS",
            help="With ray: host:port of a running cluster; auto for the one that this machine belongs to. "
            "Default: a cluster of this machine alone, for this command.",
        ),
    ] = None,
    cpus_per_stack: Annotated[
        Optional[float],
        typer.Option(
            metavar="NUMBER",
            help="With ray: CPUs for each stack, such as 1 or 0.5. Default: as many as --threads, or 1.",
        ),
    ] = None,
    gpus_per_stack: Annotated[
        Optional[float],
        typer.Option(
            metavar="NUMBER",
            help="With ray: GPUs for each stack, such as 1 or 0.5. Default: 1 with --device cuda, 0 without.",
        ),
    ] = None,
    checkpoint_every: Annotated[
        Optional[float],
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="Time between checkpoints. Default: 60, or more if one takes over a second.",
        ),
    ] = None,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep finished runs that the config no longer has, set aside.")
    ] = False,
    retry: Annotated[
        Optional[list[Retry]],
        typer.Option(
            metavar="crashed", help="Train the crashed runs again. Default: leave them as they are."
        ),
    ] = None,
    fail_fast: Annotated[
        bool,
        typer.Option(
            "--fail-fast", help="End at the first run that crashes; keep everything measured so far."
        ),
    ] = False,
    decide: Annotated[
        Optional[bool],
        typer.Option(
            "--decide/--no-decide",
            help="Add seeds to the cells of open claims until they are decided; `seeds` is the start. "
            "Default: as the config says (`decide:`).",
        ),
    ] = None,
    budget: Annotated[
        Optional[str],
        typer.Option(
            metavar="TIME",
            help="Where seeds are added: training time of each config, such as 90s, 30m or 2h. Default: that "
            "of its `decide:`, or no end.",
        ),
    ] = None,
    max_seeds: Annotated[
        Optional[int],
        typer.Option(
            min=1,
            help="Where seeds are added: the most seeds of a cell, at most 30. Default: by `decide:`, or 30.",
        ),
    ] = None,
    shard: ShardOption = None,
    keep_states: Annotated[
        bool,
        typer.Option("--keep-states", help="Keep the state of each run after its last step, for --extend."),
    ] = False,
    extend: Annotated[
        Optional[str],
        typer.Option(
            metavar="train.steps=N",
            help="Go on to N steps from the kept states of results/<name>, as an experiment of its own, "
            "results/<name>_N_steps. The schedule must be constant.",
        ),
    ] = None,
    no_figures: Annotated[
        bool, typer.Option("--no-figures", help="Draw nothing; `normbench plot` draws the figures later.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train the runs of each config that have no result yet, draw the figures, print a table of the variants.

    The records go to results/<name>/. Ctrl-C, SIGTERM and SIGUSR1 end within seconds and keep everything
    measured so far; the same command continues.

    \b
    Example:  normbench run configs/quickstart.yaml --set seeds=3
    """
    seconds = _seconds(budget)
    say_reading(configs)
    from normbench import api
    from normbench.cli.progress import reporter_for
    from normbench.data import listed_once
    from normbench.launch.idle import workers_stay
    from normbench.launch.kept import load_kept_with
    from normbench.launch.stop import StopFlag
    from normbench.planning.limits import limits_of, refuse_limits, refuse_shard, with_all_seeds
    from normbench.plugins import load_plugins
    from normbench.records.environment import program

    undecided = set[int]()  # configs that take no limits, beside others that do
    if len(configs) > 1:  # show a mistake in the last config before the first one trains for an hour
        load_plugins(plugin or ())
        for config in configs:
            for sentence in load_kept_with(config, overrides or (), results):
                say(sentence)
        with listed_once():  # configs share folders of images
            plans = [
                api.plan(
                    one, overrides or (), data_dir=data_dir, device=device.value, executor=executor.value
                )
                for one in configs
            ]
        _check_apart(plans)
        limits = [limits_of(one.experiment, decide, seconds, max_seeds) for one in plans]
        undecided = {place for place, one in enumerate(limits) if one is None}
        if len(undecided) == len(plans):
            refuse_limits(seconds, max_seeds)
        for found, limit in zip(plans, limits, strict=True):
            if shard is not None:
                refuse_shard(limit)
            if limit is not None:
                with_all_seeds(found.experiment, limit)
    answers = []
    unwritten: list[str] = []
    code = ExitCode.DONE
    with workers_stay():  # from one config to the next
        for place, config in enumerate(configs):
            with StopFlag(say_stopping) as stop:
                finished = api.run(
                    config,
                    overrides or (),
                    results=results,
                    data_dir=data_dir,
                    device=device.value,
                    executor=executor.value,
                    threads=threads,
                    launcher=launcher.value,
                    workers=workers,
                    address=address,
                    cpus_per_stack=cpus_per_stack,
                    gpus_per_stack=gpus_per_stack,
                    checkpoint_every=checkpoint_every,
                    keep_old=keep_old,
                    retry=tuple(one.value for one in retry or ()),
                    fail_fast=fail_fast,
                    decide=decide,
                    budget=None if place in undecided else seconds,
                    max_seeds=None if place in undecided else max_seeds,
                    shard=shard,
                    reporter=reporter_for(),
                    should_stop=stop,
                    plugins=plugin or (),
                    keep_states=keep_states,
                    extend=extend,
                )
            _say_trained(finished)
            if finished.interrupted or (stop() and place + 1 < len(configs)):
                command = shlex.join([*program(sys.argv), *sys.argv[1:]])
                say(f"interrupted; everything measured so far is in {finished.folder}")
                say(f"continue with:  {command}")
                answers.append(_answer(finished, []))
                code = ExitCode.INTERRUPTED
                break
            if finished.crashed:
                code = ExitCode.CRASHED
            if finished.failed_fast:
                say(
                    f"ended at the first crash (--fail-fast); everything measured is in {finished.folder}\n"
                    "the same command goes on with the other runs"
                )
                answers.append(_answer(finished, []))
                break
            if shard is not None:
                root = finished.folder.parents[1]
                say(f"join the shards when all have trained, with:  normbench merge {root}")
                answers.append(_answer(finished, []))
                continue
            shown = _show(finished, as_json, unwritten, figures_wanted=not no_figures)
            if limits_of(finished.plan.experiment, decide) is not None:
                shown["verdicts"] = _decided(finished, as_json)
            answers.append(shown)
    if as_json:
        print_json(answers)
    if unwritten and code == ExitCode.DONE:
        code = ExitCode.USAGE
    if code:
        raise typer.Exit(int(code))


def say_stopping() -> None:
    """Answer the first Ctrl-C. A handler may interrupt a write to stderr, so it goes past its buffer."""
    with contextlib.suppress(OSError):  # the terminal is gone
        os.write(2, b"stopping: writing what is measured so far (once more ends at once)\n")


def _check_apart(plans: list[Plan]) -> None:
    """Refuse two configs that would write to the same folder."""
    names = [plan.experiment.name for plan in plans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise NormbenchError(
            f"name: two of the configs are called '{twice[0]}' and would write to the same folder; "
            "give each its own name, or run them one by one"
        )


def _say_trained(finished: Finished) -> None:
    parts = [f"trained {counted(finished.trained, 'run')} in {duration(finished.seconds)}"]
    if finished.replayed:
        parts.append(f"{finished.replayed:,} finished ones were trained again for layers.csv")
    if finished.skipped:
        parts.append(f"{finished.skipped:,} were there already")
    if finished.crashed:
        parts.append(
            f"{finished.crashed:,} crashed (why: {finished.folder / 'crashes'}; again: --retry crashed)"
        )
    say(f"{finished.folder}: " + "; ".join(parts))


def _show(finished: Finished, as_json: bool, unwritten: list[str], figures_wanted: bool) -> dict[str, Any]:
    """Draw the figures if they are wanted, and print the table; return both for JSON.

    Args:
        finished: the session.
        as_json: print no table.
        unwritten: gets the reason if the figures cannot be written.
        figures_wanted: draw them.
    """
    from normbench.analysis.summary import lost_at_once, summary_rows, summary_table
    from normbench.analysis.tables import load_tables
    from normbench.plots.drawn import drawn_before

    tables = load_tables(finished.folder)
    for remark in lost_at_once(tables):
        say(remark)
    if not tables.runs["outcome"].notna().any():
        return _answer(finished, [])
    if not as_json:
        print_rich(summary_table(tables, width()))
    figures: list[Path] = []
    before: list[Path] = []
    if figures_wanted and not finished.trained and not finished.replayed:
        figures = before = drawn_before(finished.folder)
    try:
        if figures_wanted and not figures:
            figures = _figures(finished.folder)
    except NormbenchError as error:  # the training is done and kept even if its figures fail
        say(f"figures: {error}")
        if isinstance(error, RecordsError):
            unwritten.append(str(error))
        figures = []
    if not as_json:
        if figures:
            typer.echo(f"Figures in {figures[0].parent}{', as they were' if before else ''}:")
            typer.echo("\n".join(f"  {path.name}" for path in figures if path.suffix == ".png"))
        layers = ", layers.csv" if finished.plan.experiment.probes else ""
        typer.echo(f"Numbers in {finished.folder}: runs.csv, metrics.csv{layers}")
        if finished.plan.experiment.claims:
            typer.echo(f"Judge its claims with: normbench verify {finished.folder}")
    return {**_answer(finished, figures), "variants": summary_rows(tables)}


def _figures(folder: Path) -> list[Path]:
    """Draw the figures of an experiment, remember from what, and return their files."""
    from normbench.plots import plot_results
    from normbench.plots.drawn import remember_drawn
    from normbench.plots.rendering import helping

    with helping([folder]) as helper:
        figures = plot_results(folder, helper=helper)
    remember_drawn(folder, figures)
    return figures


def _decided(finished: Finished, as_json: bool) -> list[dict[str, Any]]:
    """Print which claims are decided, and what would decide the others; return the verdicts for JSON."""
    from normbench.analysis.verify import verdict_row, verify

    if not (finished.folder / "looks.csv").is_file():
        say("no look was taken: not all runs of the first one have a result")
        return []
    verdicts = verify(finished.folder, write=False, known=finished.judged).verdicts
    if not as_json:
        for one in verdicts:
            name = f"{one.id} ({one.group})" if one.group else one.id
            text = one.reason if one.verdict == "inconclusive" else f"{one.verdict} at n = {one.n}"
            typer.echo(f"{name}: {text}")
    return [verdict_row(one) for one in verdicts]


def _seconds(text: str | None) -> float | None:
    """Return the seconds of --budget; NormbenchError if it is no time."""
    try:
        return None if text is None else seconds_of(text)
    except ValueError as error:
        raise NormbenchError(f"--budget: {error}") from None


def _answer(finished: Finished, figures: list[Path]) -> dict[str, Any]:
    return {
        "name": finished.plan.experiment.name,
        "folder": str(finished.folder),
        "trained": finished.trained,
        "skipped": finished.skipped,
        "replayed": finished.replayed,
        "crashed": finished.crashed,
        "interrupted": finished.interrupted,
        "seconds": finished.seconds,
        "figures": [str(path) for path in figures],
        "variants": [],
    }

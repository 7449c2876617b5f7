"""The commands run and plan."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli.app import (
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
    uncollected,
)
from normbench.cli.show import print_json, print_rich, say
from normbench.errors import ExitCode, NormbenchError, RecordsError

if TYPE_CHECKING:
    from normbench.launch.session import Finished
    from normbench.planning.plan import Plan


def run(
    configs: Configs,
    overrides: Overrides = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where the folders of results are.")] = Path(
        "results"
    ),
    data_dir: DataDir = None,
    plugin: Plugins = None,
    device: DeviceOption = Device.auto,
    executor: ExecutorOption = Executor.auto,
    threads: Annotated[
        Optional[int], typer.Option(min=1, help="CPU threads of each process. Default: by rule.")
    ] = None,
    launcher: Annotated[
        Launcher, typer.Option(help="Train in this process, or a stack in each of several; auto: by rule.")
    ] = Launcher.auto,
    workers: Annotated[
        Optional[int],
        typer.Option(min=1, help="Number of processes. Default: one for each core, with one thread."),
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
        bool, typer.Option("--keep-old", help="Keep aside finished runs that the config no longer has.")
    ] = False,
    retry: Annotated[
        Optional[list[Retry]],
        typer.Option(help="Train the crashed runs again. Default: they stay as they are."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train what each config still lacks, draw the figures, and print a table of the variants.

    The records go to results/<name>/. Ctrl-C ends within seconds with everything measured so far on disk;
    the same command continues.

    \b
    Example:  normbench run configs/quickstart.yaml --set seeds=3
    """
    from normbench import api
    from normbench.cli.progress import reporter_for
    from normbench.cli.stop import StopFlag

    if len(configs) > 1:  # a mistake in the last config shows before the first one trains for an hour
        check_apart(
            [
                api.plan(
                    one,
                    overrides or (),
                    data_dir=data_dir,
                    device=device.value,
                    executor=executor.value,
                    plugins=plugin or (),
                )
                for one in configs
            ]
        )
    answers = []
    code = ExitCode.DONE
    for place, config in enumerate(configs):
        with StopFlag() as stop:
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
                checkpoint_every=checkpoint_every,
                keep_old=keep_old,
                retry=tuple(one.value for one in retry or ()),
                reporter=reporter_for(),
                should_stop=stop,
                plugins=plugin or (),
            )
        _say_trained(finished)
        if finished.interrupted or (stop() and place + 1 < len(configs)):
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            say(f"interrupted; everything measured so far is in {finished.folder}\ncontinue with:  {command}")
            answers.append(_answer(finished, []))
            code = ExitCode.INTERRUPTED
            break
        if finished.crashed:
            code = ExitCode.CRASHED
        answers.append(_show(finished, as_json))
    if as_json:
        print_json(answers)
    if code:
        raise typer.Exit(int(code))


def check_apart(plans: list[Plan]) -> None:
    """Refuse two configs that would write to the same folder."""
    names = [plan.experiment.name for plan in plans]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise NormbenchError(
            f"name: two of the configs are called '{twice[0]}' and would write to the same folder; "
            "give each its own name, or run them one by one"
        )


def _say_trained(finished: Finished) -> None:
    from normbench.cli.progress import duration

    parts = [f"trained {finished.trained:,} runs in {duration(finished.seconds)}"]
    if finished.replayed:
        parts.append(f"{finished.replayed:,} finished ones were trained again for layers.csv")
    if finished.skipped:
        parts.append(f"{finished.skipped:,} were there already")
    if finished.crashed:
        parts.append(
            f"{finished.crashed:,} crashed (why: {finished.folder / 'crashes'}; again: --retry crashed)"
        )
    say(f"{finished.folder}: " + "; ".join(parts))


def _show(finished: Finished, as_json: bool) -> dict[str, Any]:
    """Draw the figures and print the table; return both for JSON."""
    from normbench.analysis.summary import summary_rows, summary_table
    from normbench.analysis.tables import load_tables
    from normbench.cli.show import width
    from normbench.plots import plot_results

    try:
        tables = load_tables(finished.folder)
    except RecordsError:
        if not finished.crashed:
            raise
        return _answer(
            finished, []
        )  # all runs crashed: there is nothing to draw, and the message is out already
    if not tables.runs["outcome"].notna().any():
        return _answer(finished, [])
    if not as_json:
        print_rich(summary_table(tables, width()))
    try:
        figures = plot_results(finished.folder)
    except NormbenchError as error:  # the training is done and kept even if its figures fail
        say(f"figures: {error}")
        figures = []
    if not as_json:
        if figures:
            typer.echo(f"Figures in {figures[0].parent}:")
            typer.echo("\n".join(f"  {path.name}" for path in figures if path.suffix == ".png"))
        layers = ", layers.csv" if finished.plan.experiment.probes else ""
        typer.echo(f"Numbers in {finished.folder}: runs.csv, metrics.csv{layers}")
        if finished.plan.experiment.claims:
            typer.echo(f"Judge its claims with: normbench verify {finished.folder}")
    return {**_answer(finished, figures), "variants": summary_rows(tables)}


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


@uncollected()
def plan(
    configs: Configs,
    overrides: Overrides = None,
    data_dir: DataDir = None,
    plugin: Plugins = None,
    device: DeviceOption = Device.auto,
    executor: ExecutorOption = Executor.auto,
    cells: Annotated[
        bool, typer.Option("--cells", help="Show every cell, not one row for each variant.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a config would train: cells, stacks, parameters, FLOPs, estimated time and memory.

    \b
    Example:  normbench plan configs/bn_larger_lr_mnist.yaml --set model.depth=3
    """
    from normbench import api
    from normbench.cli.show_plan import plan_answer, print_plan
    from normbench.planning.estimate import estimate

    answers = []
    for config in configs:
        found = api.plan(
            config,
            overrides or (),
            data_dir=data_dir,
            device=device.value,
            executor=executor.value,
            plugins=plugin or (),
        )
        costs = estimate(found)
        if as_json:
            answers.append(plan_answer(costs))
        else:
            print_plan(costs, every_cell=cells)
    if as_json:
        print_json(answers)

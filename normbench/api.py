"""normbench from Python: `plan`, `run` and `load` do what the commands of these names do."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from normbench.config import dump_config, load_config
from normbench.errors import NormbenchError, did_you_mean, one_of
from normbench.launch.checkpoints import Checkpoints
from normbench.launch.local import Tally, train_stacks
from normbench.launch.processes import train_in_processes, worker_plan
from normbench.launch.reporter import Reporter
from normbench.plan import Plan, Stack, make_plan
from normbench.plugins import load_plugins
from normbench.records import RESULTS, ResultsFolder
from normbench.tables import Tables, load_tables

LAUNCHERS = ("local", "processes")


@dataclass(frozen=True)
class Finished:
    """What `run` did. `skipped` runs had their result already."""

    folder: Path
    plan: Plan
    trained: int
    skipped: int
    crashed: int
    interrupted: bool
    seconds: float


def plan(
    config: str | Path,
    overrides: Sequence[str] = (),
    *,
    data_dir: str | Path | None = None,
    device: str = "auto",
    executor: str = "auto",
    plugins: Sequence[str | Path] = (),
) -> Plan:
    """Return what a config asks for, without training anything.

    Args:
        config: path of the YAML file.
        overrides: `KEY=VALUE` strings, as `--set`.
        data_dir: folder of the data, unless the config names one.
        device: auto, cpu, cuda or mps.
        executor: auto (by rule), vectorized or looped.
        plugins: Python files that register normalizations, models and the like, as `--plugin`.

    Raises:
        ConfigError, PlanError: with all problems at once.
    """
    load_plugins(plugins)
    return make_plan(load_config(config, overrides), data_dir, device, executor)


def run(
    config: str | Path,
    overrides: Sequence[str] = (),
    *,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    device: str = "auto",
    executor: str = "auto",
    threads: int | None = None,
    launcher: str = "local",
    workers: int | None = None,
    checkpoint_every: float | None = None,
    keep_old: bool = False,
    retry: Collection[str] = (),
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] | None = None,
    command: Sequence[str] | None = None,
    plugins: Sequence[str | Path] = (),
) -> Finished:
    """Train what a config asks for and the results folder does not have yet.

    Args:
        config, overrides, data_dir, device, executor, plugins: as `plan`.
        results: the experiment's folder is `results/<name>`.
        threads: of torch on a CPU, of each worker; another number may change rounding.
        launcher: `local` trains in this process, `processes` one stack in each of several workers.
        workers: how many; by default one for each core, of one thread.
        checkpoint_every: seconds between two checkpoints of a stack; by default 60, more if they are slow.
        keep_old: keep finished runs that the config no longer has aside, in place of refusing.
        retry: `{"crashed"}` trains crashed runs again.
        reporter: hears of the progress.
        should_stop: asked every few steps; when true, training ends with everything written.
        command: the command line, for environment.json.

    Raises:
        NormbenchError: config, data or results folder cannot be used; then nothing was written.
    """
    began = time.monotonic()
    whole = plan(config, overrides, data_dir=data_dir, device=device, executor=executor, plugins=plugins)
    _fetch(whole)
    if launcher not in LAUNCHERS:
        raise NormbenchError(
            f"--launcher: '{launcher}' is unknown; {did_you_mean(launcher, LAUNCHERS)}{one_of(LAUNCHERS)}"
        )
    if workers is not None and launcher == "local":
        raise NormbenchError("--workers: goes with --launcher processes")
    if launcher == "processes":
        workers, threads = worker_plan(workers, threads)
    elif threads is not None:
        import torch

        torch.set_num_threads(threads)
    reporter = reporter or Reporter()
    path = Path(results) / whole.experiment.name
    with ResultsFolder(path) as folder:
        folder.open_for_run(whole, dump_config(whole.experiment), keep_old)
        for warning in folder.warnings:
            reporter.message(warning)
        statuses = folder.statuses()
        settled = RESULTS if "crashed" in retry else {*RESULTS, "crashed"}
        missing = [run for run, status in statuses.items() if status not in settled]
        stacks = _stacks(whole, folder, missing)
        checkpoints = Checkpoints(folder, checkpoint_every)
        checkpoints.keep_only({stack.stack_id for stack in stacks})
        tally = Tally()
        if stacks:
            folder.start_session(device=whole.device, threads=threads, command=command)
            work = [run for stack in stacks for run in stack.runs]
            reporter.start(sum(run.settings.train.steps for run in work), len(work))
            try:
                stop = should_stop or (lambda: False)
                launch = (whole, stacks, folder, checkpoints, reporter, stop, tally)
                if workers and threads:
                    train_in_processes(*launch, workers=workers, threads=threads)
                else:
                    train_stacks(*launch)
            finally:
                reporter.finish()
                folder.merge()
                folder.end_session(sorted(tally.executors), tally.made())
        still_crashed = sum(status == "crashed" for status in folder.statuses().values())
    return Finished(
        folder=path,
        plan=whole,
        trained=len(tally.trained),
        skipped=len(statuses) - len(missing),
        crashed=max(tally.crashed, still_crashed),
        interrupted=tally.interrupted,
        seconds=time.monotonic() - began,
    )


def load(folder: str | Path) -> Tables:
    """Return the records of an experiment as data frames: `.runs` and `.metrics`."""
    return load_tables(Path(folder))


def _fetch(plan: Plan) -> None:
    """Bring all data here before anything is written; what is damaged or absent is an error now."""
    from normbench.data import load as load_data

    for data in {id(run.settings.data): run.settings.data for run in plan.runs}.values():
        load_data(data, plan.data_dir)


def _stacks(plan: Plan, folder: ResultsFolder, missing: Sequence[str]) -> list[Stack]:
    """Return the stacks to train: those that were interrupted, as they were, and new ones for the rest."""
    runs = {run.run_id: run for run in plan.runs}
    again, taken = [], set()
    for stack in folder.open_stacks():
        if plan.executor in ("auto", stack.executor) and set(stack.runs) <= set(runs):
            again.append(Stack(stack.stack_id, tuple(runs[run] for run in stack.runs), stack.executor))
            taken |= set(stack.runs)
    return [*again, *plan.stacks_of(run for run in missing if run not in taken)]

"""normbench from Python: `plan`, `run` and `load` do what the commands of these names do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from normbench.analysis.tables import Tables, load_tables
from normbench.config import dump_config, load_config
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Checkpoints
from normbench.launch.choose import choose_cores
from normbench.launch.launch import Launch, Tally
from normbench.launch.local import train_stacks
from normbench.launch.processes import train_in_processes
from normbench.launch.replay import check_options, refuse_other_metrics, stacks_to_replay
from normbench.launch.reporter import Reporter
from normbench.names import RESULTS
from normbench.planning.plan import Plan, make_plan
from normbench.planning.runs import RunSpec, Stack
from normbench.plugins import load_plugins
from normbench.records import ResultsFolder


@dataclass(frozen=True)
class Finished:
    """What `run` did. `skipped` runs had their result already; `replayed` of them got rows of layers."""

    folder: Path
    plan: Plan
    trained: int
    skipped: int
    crashed: int
    interrupted: bool
    seconds: float
    replayed: int = 0


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
        launcher: `local` trains in this process, `processes` one stack in each of several workers, `auto`
            as the command does, by rule. Workers import the script that calls this, so it must guard its
            own work by `if __name__ == "__main__":`.
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
    cores = choose_cores(whole, launcher, workers, threads)
    if cores.workers is None and cores.threads is not None:
        import torch

        torch.set_num_threads(cores.threads)
    reporter = reporter or Reporter()
    path = Path(results) / whole.experiment.name
    check_options(whole, path)
    with ResultsFolder(path) as folder:
        folder.open_for_run(whole, dump_config(whole.experiment), keep_old)
        for warning in folder.warnings:
            reporter.message(warning)
        ends = folder.ends()
        skipped = [run for run, (status, _) in ends.items() if status in RESULTS or "crashed" not in retry]
        again = set(ends) - set(skipped)  # crashed, and to be tried once more
        checkpoints = Checkpoints(folder, checkpoint_every)
        tally = Tally()
        replays = stacks_to_replay(whole, folder)
        replayed = [run for stack in replays for run in stack.runs]
        otherwise = None
        for count in itertools.count(1):  # once, but for a search for the edge, which goes in rounds
            ended = {run: outcome for run, (_, outcome) in folder.ends().items() if run not in again}
            missing = whole.wanted(ended)
            stacks = _stacks(whole, folder, missing, cores.workers or 1, reporter)
            if count == 1:
                stacks += _fitting(whole, replays, cores.workers or 1, reporter)
                checkpoints.keep_only({stack.stack_id for stack in stacks})
            if whole.searches:  # who looks on sees which runs of the search are pending
                folder.want(missing)
                folder.merge()
            if not stacks or tally.interrupted:
                break
            work = [run for stack in stacks for run in stack.runs]
            again -= {run.run_id for run in work}
            if count == 1:
                folder.start_session(whole.device, cores.threads, command, cores.workers or 1)
            if replayed and count == 1:
                reporter.message(f"{len(replayed):,} finished runs are trained again for layers.csv alone")
            if whole.searches:
                reporter.message(_round_text(count, work))
            reporter.start(sum(run.settings.train.steps for run in work), len(work))
            try:
                stop = should_stop or (lambda: False)
                launch = Launch(whole, folder, checkpoints, reporter, stop, tally)
                if cores.workers and cores.threads:
                    train_in_processes(launch, stacks, workers=cores.workers, threads=cores.threads)
                else:
                    train_stacks(launch, stacks)
            finally:
                reporter.finish()
                otherwise = otherwise or refuse_other_metrics(folder, replayed)
                folder.merge()
                folder.end_session(sorted(tally.executors), tally.made())
            if not whole.searches:
                break
        if otherwise is not None:
            raise NormbenchError(otherwise)
        still_crashed = sum(status == "crashed" for status in folder.statuses().values())
    return Finished(
        folder=path,
        plan=whole,
        trained=len(tally.trained - {run.run_id for run in replayed}),
        skipped=len(skipped),
        crashed=max(tally.crashed, still_crashed),
        interrupted=tally.interrupted,
        seconds=time.monotonic() - began,
        replayed=len(tally.trained & {run.run_id for run in replayed}),
    )


def load(folder: str | Path) -> Tables:
    """Return the records of an experiment as data frames: `.runs` and `.metrics`."""
    return load_tables(Path(folder))


def _fetch(plan: Plan) -> None:
    """Bring all data here before anything is written; what is damaged or absent is an error now."""
    from normbench.data import load as load_data

    for data in {id(run.settings.data): run.settings.data for run in plan.runs}.values():
        load_data(data, plan.data_dir)


def _round_text(count: int, runs: Sequence[RunSpec]) -> str:
    """Return what the next round of a search for the edge trains."""
    refining = sum(run.refining for run in runs)
    what = f"{refining} between the largest rates that train and the next ones" if refining else "the scan"
    return f"search for the edge of the rates, round {count}: {len(runs):,} runs, {what}"


def _stacks(
    plan: Plan, folder: ResultsFolder, missing: Sequence[str], workers: int, reporter: Reporter
) -> list[Stack]:
    """Return the stacks to train: those that were interrupted, as they were, and new ones for the rest."""
    runs = {run.run_id: run for run in plan.runs}
    again, taken = [], set()
    for stack in folder.open_stacks():
        if plan.executor in ("auto", stack.executor) and set(stack.runs) <= set(runs):
            again.append(Stack(stack.stack_id, tuple(runs[run] for run in stack.runs), stack.executor))
            taken |= set(stack.runs)
    new = plan.stacks_of(run for run in missing if run not in taken)
    return [*again, *_fitting(plan, new, workers, reporter)]


def _fitting(plan: Plan, stacks: Sequence[Stack], workers: int, reporter: Reporter) -> list[Stack]:
    """Return the stacks with those divided that would not fit into the memory."""
    from normbench.planning.estimate import preview

    fitting, notes = preview(plan).fit(stacks, workers)
    for note in notes:
        reporter.message(note)
    return fitting

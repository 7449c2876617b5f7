"""normbench from Python: `plan`, `run`, `merge`, `verify` and `compare` do what these commands do.

`load` reads the records as frames, `draw` draws a figure on axes.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from pydantic import BaseModel

from normbench.config import Experiment, config_name, load_config
from normbench.data import listed_once
from normbench.errors import NormbenchError
from normbench.launch.reporter import Reporter
from normbench.names import EXECUTORS
from normbench.paths import expanded
from normbench.planning.compiling import with_compiled
from normbench.planning.limits import limits_of, refuse_extend, refuse_limits, refuse_shard, with_all_seeds
from normbench.planning.memory import free_memory
from normbench.planning.plan import Plan, about_device, choose_device, make_plan
from normbench.planning.shards import Shard, part_of
from normbench.plugins import load_own, load_plugins, named, used_by

# A plan needs no engine, no records and no analysis: their imports are in the functions that do.
if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from normbench.analysis.compare_results import Compared
    from normbench.analysis.judge import Correction
    from normbench.analysis.results import Results
    from normbench.analysis.tables import Tables
    from normbench.analysis.verify import Verified
    from normbench.launch.merging import Merged
    from normbench.launch.session import Finished

# A config: path of a YAML file, a dict as such a file would have it (classes and data sets may stand in it in
# place of their names), a `normbench.config.Config`, or the experiment of a plan.
ConfigLike = Union[str, Path, Mapping[str, Any], BaseModel, Experiment]
# Results: an experiment's folder, what `run` or `load` returned, or a config, for the folder results/<name>.
ResultsLike = Union[ConfigLike, "Finished", "Tables"]
_YAML = (".yaml", ".yml")


def plan(
    config: ConfigLike,
    overrides: Sequence[str] = (),
    *,
    data_dir: str | Path | None = None,
    device: str = "auto",
    executor: str = "auto",
    plugins: Sequence[str | Path] = (),
    own: Sequence[Any] = (),
    shard: str | None = None,
    reporter: Reporter | None = None,
) -> Plan:
    """Return what a config asks for, without training anything.

    Args:
        config: path of a YAML file, a dict as such a file would have it, a `Config`, or an experiment.
        overrides: `KEY=VALUE` strings, as for `--set`.
        data_dir: folder of the data sets, unless the config names one.
        device: `auto`, `cpu`, `cuda` or `mps`.
        executor: `auto`, `compiled`, `vectorized`, `looped` or `eager`.
        plugins: Python files that register normalizations, models and so on, as for `--plugin`.
        own: classes and data sets of a notebook or script, without a file, as for `run`.
        shard: `I/N` for the runs of part I of N alone.
        reporter: hears how far the check of plug-ins is.

    Returns:
        The plan: its runs, and the stacks that `run` trains if nothing is finished yet. Stacks that would
        take more memory than is free now are divided.

    Raises:
        ConfigError: the config has problems; the text lists all of them.
        PlanError: some combinations cannot be trained; the text lists all of them.
    """
    load_plugins(plugins)
    config, given = named(config)
    load_own([*own, *given], data_dir)
    part = None if shard is None else Shard.parse(shard)
    with listed_once():
        whole = _planned(load_config(config, overrides), data_dir, device, executor, reporter)
    return whole if part is None else part_of(whole, part).of_asked()


def _planned(
    experiment: Experiment,
    data_dir: str | Path | None,
    device: str,
    executor: str,
    reporter: Reporter | None,
    cluster: bool = False,
) -> Plan:
    """Return the plan of an experiment whose plug-ins are loaded; the arguments are those of `plan`."""
    about, device = about_device(device), choose_device(device)
    executors, notes = _check_plugins(experiment, data_dir, device, executor, reporter or Reporter())
    memory, remarks = free_memory(device), [*about, *notes]
    found = make_plan(experiment, data_dir, device, executor, memory, executors, remarks)
    return with_compiled(found, cluster=cluster)


def _check_plugins(
    experiment: Experiment, data_dir: str | Path | None, device: str, executor: str, reporter: Reporter
) -> tuple[Mapping[str, str], Sequence[str]]:
    """Return the executors that train the plug-ins of a config right, and what to say about them."""
    if executor not in EXECUTORS or not any(used_by(cell.settings) for cell in experiment.cells):
        return {}, ()
    from normbench.fidelity import check_plugins  # lazily: most plans need no engine

    folder = None if data_dir is None else Path(data_dir)
    found = check_plugins(experiment, folder, device, executor, reporter.checking)
    return found.executors, found.notes


def run(
    config: ConfigLike,
    overrides: Sequence[str] = (),
    *,
    results: str | Path = "results",
    data_dir: str | Path | None = None,
    device: str = "auto",
    executor: str = "auto",
    threads: int | None = None,
    launcher: str = "local",
    workers: int | None = None,
    address: str | None = None,
    cpus_per_stack: float | None = None,
    gpus_per_stack: float | None = None,
    checkpoint_every: float | None = None,
    keep_old: bool = False,
    retry: Collection[str] = (),
    fail_fast: bool = False,
    decide: bool | None = None,
    budget: float | None = None,
    max_seeds: int | None = None,
    shard: str | None = None,
    reporter: Reporter | None = None,
    should_stop: Callable[[], bool] | None = None,
    command: Sequence[str] | None = None,
    plugins: Sequence[str | Path] = (),
    own: Sequence[Any] = (),
    keep_states: bool = False,
    extend: str | None = None,
) -> Finished:
    """Train what a config asks for and the results folder does not have yet.

    Args:
        config: path of a YAML file, a dict as such a file would have it, a `Config`, or an experiment.
        overrides: `KEY=VALUE` strings, as for `--set`.
        results: folder of results; the experiment's own folder is `results/<name>`.
        data_dir: folder of the data sets, unless the config names one.
        device: `auto`, `cpu`, `cuda` or `mps`.
        executor: `auto`, `compiled`, `vectorized`, `looped` or `eager`.
        threads: of torch on a CPU, in each process; another number may change rounding.
        launcher: `local` trains in this process, `processes` trains one stack in each of several workers,
            `ray` does so on a Ray cluster, `auto` takes one of the first two by rule, as the command does.
            Worker processes import the script that calls this function, so the script must guard its own work
            by `if __name__ == "__main__":`; Ray's workers do not import it.
        workers: number of worker processes; by default one for each core, with one thread. With `ray` the
            most workers; by default as many as the cluster has room for.
        address: of a running Ray cluster; `auto` finds the one that this machine belongs to. By default a
            cluster of this machine alone is started, and ended with the training. A program that has called
            `ray.init` keeps its own connection.
        cpus_per_stack: with `ray`, the CPUs that each stack gets; it may be a fraction. By default as many as
            `threads`, or 1.
        gpus_per_stack: the same for GPUs; by default 1 if `device` is `cuda`.
        checkpoint_every: seconds between two checkpoints of a stack; by default 60, or more if they are slow.
        keep_old: keep finished runs that the config no longer has aside, instead of refusing to train.
        retry: `{"crashed"}` trains crashed runs again.
        fail_fast: end the session at the first run that crashes, with everything measured so far written.
        decide: add seeds to the cells of open claims until they are decided. Then `seeds` is the start. By
            default as the config says: it does so if it has `decide:`.
        budget: if so, seconds of training after which no more seeds are added, in place of the config's.
        max_seeds: if so, the most seeds of a cell, in place of the config's.
        shard: `I/N` trains part I of N into `results/<name>/shards/I-of-N`. Seeds cannot be added then.
        reporter: hears about the progress. By default, a notebook shows a line of text.
        should_stop: asked every few steps; if true, training ends with everything written. Without it,
            Ctrl-C, a notebook's stop button and SIGTERM end the training so, then do what they usually do.
        command: the command line, for environment.json.
        plugins: Python files that register normalizations, models and so on, as for `--plugin`. Those that
            the results keep are loaded, too, unless one of these registers the same.
        own: classes and data sets without a file that the config names (`my_norm` for `MyNorm`); those that
            stand in a dict in place of a name need not be given. Classes are those of normbench, or an
            `nn.Module`, made with the number of features (a normalization), with `input_shape` and `classes`
            (a model) or with nothing (an activation). The results keep their source. A torch `Dataset`, or
            a pair (train, test), is read once; the data folder keeps its items.
        keep_states: keep the state of each run after its last step, for `extend`.
        extend: `train.steps=5000` goes on from the kept states of the config's runs in `results/<name>`, as
            an experiment of its own, `results/<name>_5000_steps`.

    Returns:
        What the session did.

    Raises:
        NormbenchError: config, data or results folder cannot be used; then nothing was written.
    """
    from normbench.launch.extending import extended, prepare
    from normbench.launch.kept import load_kept_with
    from normbench.notebook import reporter_here

    if multiprocessing.current_process().name != "MainProcess":
        from normbench.launch.processes import end_if_worker

        end_if_worker()
    reporter = reporter or reporter_here()
    part = None if shard is None else Shard.parse(shard)
    results = expanded(results, "results")
    load_plugins(plugins)
    config, given = named(config)
    load_own([*own, *given], data_dir)
    for sentence in load_kept_with(config, overrides, results):
        reporter.message(sentence)
    with listed_once():
        experiment = load_config(config, overrides)
        start = len(experiment.seeds)
        limits = limits_of(experiment, decide, budget, max_seeds)
        if part is not None:
            refuse_shard(limits)
        if limits is None:
            refuse_limits(budget, max_seeds)
        else:
            experiment = with_all_seeds(experiment, limits)
        if extend is not None:
            refuse_extend(limits, shard)
        longer = None if extend is None else extended(experiment, extend)
        whole = _planned(longer or experiment, data_dir, device, executor, reporter, launcher == "ray")
    from normbench.deciding import Decider  # only now: a refused config needs no engine
    from normbench.launch.choose import Wanted
    from normbench.launch.session import Session, SessionOptions
    from normbench.launch.stop import StopFlag

    if longer is not None:
        prepare(make_plan(experiment, data_dir, whole.device, executor), whole, results, keep_old, reporter)
    if part is not None:
        whole = part_of(whole, part)
    for sentence in whole.remarks:
        reporter.message(sentence)
    options = SessionOptions(
        results=results,
        launcher=Wanted(launcher, workers, threads, address, cpus_per_stack, gpus_per_stack),
        checkpoint_every=checkpoint_every,
        keep_old=keep_old,
        retry=retry,
        fail_fast=fail_fast,
        command=command,
        shard=part,
        keep_states=keep_states,
    )

    def train(stop: Callable[[], bool]) -> Finished:
        if limits is not None:
            return Decider(whole, start, options, limits, reporter, stop).run()
        return Session(whole, options, reporter, stop).run()

    if should_stop is not None:
        return train(should_stop)
    with StopFlag(only_default=True) as stop:
        finished = train(stop)
    if stop.number is not None:  # everything is written: now the signal may do what it does
        signal.raise_signal(stop.number)
    return finished


def merge(
    folder: str | Path,
    *,
    data_dir: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    keep_old: bool = False,
    reporter: Reporter | None = None,
) -> Merged:
    """Join the shards of an experiment into its results folder, and train nothing.

    The config is that of the shard that trained last.

    Args:
        folder: the experiment's folder, `results/<name>`.
        data_dir: folder of the data sets, unless the config names one.
        plugins: Python files, as for `--plugin`; by default those that the shards keep.
        keep_old: leave runs that the config does not have where they are, instead of refusing them.
        reporter: hears what the user should know, such as what differs between the machines.

    Returns:
        What the results folder has now.

    Raises:
        NormbenchError: the folder has no shards, or they cannot be joined; then nothing was written.
    """
    from normbench.launch.kept import load_kept_in
    from normbench.launch.merging import merge_shards
    from normbench.records.shards import last_trained, shards_of, with_shards

    reporter = reporter or Reporter()
    (root,) = with_shards(folder)
    last = last_trained(shards_of(root))
    load_plugins(plugins)
    for sentence in load_kept_in([last]):
        reporter.message(sentence)
    config = last / "config.yaml"
    plan = make_plan(load_config(config), data_dir, "cpu")
    return merge_shards(root, plan, config.read_text(encoding="utf-8"), keep_old, reporter)


def load(results: ResultsLike) -> Results:
    """Return the records of an experiment as data frames: `.runs`, `.curves`, `.layers` and `.verdicts`.

    `results` is the experiment's folder, what `run` returned, or a config, for its folder below `results/`.
    """
    from normbench.analysis.results import load_results

    return load_results(_folder_of(results))


def verify(results: ResultsLike, *, correction: Correction = "holm", write: bool = True) -> Verified:
    """Judge the claims of an experiment.

    Args:
        results: as for `load`.
        correction: `holm`: all verdicts of the experiment hold together at 95 %; `none`: each by itself.
        write: whether to write claims.csv.

    Returns:
        The verdicts, and sentences about what the records lack.

    Raises:
        NormbenchError: the folder has no runs, or no config.yaml, which has the claims.
    """
    from normbench.analysis import verify as verifying

    return verifying.verify(_folder_of(results), correction, write)


def compare(one: ResultsLike, other: ResultsLike, *, ignore: Collection[str] = ()) -> Compared:
    """Compare two results of the same experiments, cell by cell; `ignore`: settings that may differ.

    Both are as for `load`, or folders of experiments.

    Raises:
        NormbenchError: nothing in them can be compared.
    """
    from normbench.analysis import compare_results

    return compare_results.compare(_folder_of(one), _folder_of(other), ignore)


def draw(
    figure: str,
    results: ResultsLike,
    *,
    ax: Axes | None = None,
    place: int | None = None,
    legend: bool = True,
    **wishes: Any,
) -> Axes:
    """Draw one panel of a figure on axes.

    Args:
        figure: its name, such as `rate`; `normbench list figures` names them.
        results: as for `load`.
        ax: to draw on; by default the current axes of pyplot.
        place: which panel, from 0; needed if the figure has several.
        legend: whether to explain colors and marks.
        wishes: as the options of `normbench plot`: `x`, `color`, `panel`, `target`, `layer`, `quantities`,
            `steps`, `rate`, `where`.

    Returns:
        The axes.

    Raises:
        NormbenchError: the figure makes no sense of this experiment, or it is not said which panel is meant.
    """
    from normbench.analysis.tables import Tables
    from normbench.plots.on_axes import draw_on_axes

    tables = results if isinstance(results, Tables) else load(results)
    return draw_on_axes(figure, tables, ax, place=place, legend=legend, **wishes)


def _folder_of(results: ResultsLike) -> Path:
    """Return the folder that results stand for."""
    from normbench.analysis.tables import Tables
    from normbench.launch.session import Finished

    if isinstance(results, (Finished, Tables)):
        return results.folder
    if isinstance(results, (str, Path)):
        path = expanded(results, "results")
        if path.suffix not in _YAML or path.is_dir():
            return path
    name = config_name(named(results)[0])
    if name is None:
        raise NormbenchError(
            "results: this config has no valid name, so its folder is not known; name the folder"
        )
    return Path("results") / name

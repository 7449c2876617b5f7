"""`run --extend train.steps=N`: goes on from the last states of shorter runs, as an experiment of its own.

The results folder of the longer experiment is prepared so that its stacks look interrupted: rows up to the
last step of the shorter runs, and a checkpoint made of their states. Then a session goes on with them as
with all interrupted stacks. The runs have the ids, and the bits, of runs that were never divided.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from normbench.config import Experiment, Settings, dump_config, load_config
from normbench.counts import counted
from normbench.engine.checkpoint import UnfitError, dump_state, load_state, members
from normbench.engine.state import StackState
from normbench.errors import NormbenchError
from normbench.launch.checkpoints import Checkpoints
from normbench.launch.final_states import FOLDER, states_in
from normbench.launch.reporter import Reporter
from normbench.names import STEPS
from normbench.planning.plan import Plan
from normbench.planning.runs import RunSpec
from normbench.planning.stacks import stack_of
from normbench.records import ResultsFolder
from normbench.records.ancestry import Ancestor, note_ancestry
from normbench.records.contents import Contents

_SUFFIX = re.compile(r"_\d+_steps$")


def extended(experiment: Experiment, extend: str) -> Experiment:
    """Return the longer experiment, which is called `<name>_<steps>_steps`.

    Args:
        experiment: the shorter one.
        extend: `train.steps=5000`.

    Raises:
        NormbenchError: the longer runs would be others than those that go on; the text says why.
    """
    key, equals, value = (part.strip() for part in extend.partition("="))
    if key != STEPS or not equals or not value.isdecimal() or len(value) > 18:
        raise NormbenchError(f"--extend: found '{extend}'; allowed: {STEPS}=NUMBER, such as {STEPS}=5000")
    if STEPS in experiment.columns:
        raise NormbenchError(f"--extend: {experiment.name} sweeps {STEPS}; add the longer ones to its sweep")
    if experiment.probes:
        raise NormbenchError(
            f"--extend: {experiment.name} has probes, whose steps follow from {STEPS}; leave them out "
            "(--set 'probes=[]'), and add them to the longer experiment when it is trained"
        )
    name = f"{_SUFFIX.sub('', experiment.name)}_{int(value)}_steps"
    longer = load_config(experiment, [f"{STEPS}={int(value)}", f"name={name}"])
    for old, new in zip(experiment.cells, longer.cells, strict=True):
        if why := _why_not(old.settings, new.settings):
            raise NormbenchError(f"--extend: {experiment.name} cannot go on to {int(value):,} steps: {why}")
    return longer


def _why_not(old: Settings, new: Settings) -> str | None:
    """Return why a run of the new settings is not one of the old that goes on; None if it is."""
    done, steps = old.train.steps, new.train.steps
    if steps <= done:
        return f"its runs have {done:,} steps; give more"
    if new.train.tail_start < done:
        least = next(n for n in range(steps, 2 * done + 2) if n - max(1, n // 10) >= done)
        return (
            "the mean loss of the last tenth of the steps, which says whether a run trains, would begin "
            f"before step {done:,}, and the losses of single steps are not kept; give at least {least:,}"
        )
    schedule = old.optimizer.schedule
    other = next((s for s in range(done) if schedule.factor(s, done) != schedule.factor(s, steps)), None)
    if other is not None:
        return (
            f"optimizer.schedule is {schedule.name}, whose rate depends on the number of steps: that of "
            f"update {other + 1} is {schedule.factor(other, done):.4g} times lr in {done:,} steps, and "
            f"{schedule.factor(other, steps):.4g} in {steps:,}; use a constant schedule, or train it from "
            f"step 0 (--set {STEPS}={steps})"
        )
    before = [step for step in new.train.evaluation_steps if step < done]
    if before != [step for step in old.train.evaluation_steps if step < done]:
        return (
            f"train.eval_every gives other evaluations before step {done:,} in {steps:,} steps; give a "
            "number of steps"
        )
    return None


def prepare(shorter: Plan, longer: Plan, results: Path, keep_old: bool, reporter: Reporter) -> None:
    """Put the last states of the shorter runs into the results folder of the longer ones.

    Args:
        shorter: the plan of the runs whose states are kept.
        longer: the plan of the runs that go on, with the same cells and seeds.
        results: folder of results.
        keep_old: as for `ResultsFolder.open_for_run`.
        reporter: hears how many go on.

    Raises:
        NormbenchError: no state is kept, or none can be used.
    """
    if longer.searches:
        raise NormbenchError(
            "--extend: optimizer.lr is searched, and which rates are tried depends on the number of steps; "
            "give the rates as a list"
        )
    root = results / shorter.experiment.name
    shorter = shorter.with_older_ids(ResultsFolder(root).run_ids() if root.is_dir() else ())
    follows = {old.run_id: new for old, new in zip(shorter.runs, longer.runs, strict=True)}
    folder = ResultsFolder(results / longer.experiment.name)
    begun = folder.run_ids() if folder.root.is_dir() else set()
    left = {old for old, new in follows.items() if not begun & set(new.ids)}
    if not left:
        return  # all have begun; the session goes on with them
    states = list(_states(root, left, longer, reporter))
    ancestors: list[Ancestor] = []
    with folder:
        folder.open_for_run(longer, dump_config(longer.experiment), keep_old)
        checkpoints = Checkpoints(folder, None)
        with Contents(root) as contents:
            for run_ids, executor, state in states:
                runs = [follows[run_id] for run_id in run_ids]
                stack = stack_of(runs, executor)
                with folder.writer(stack) as writer:
                    for old, new in zip(run_ids, runs, strict=True):
                        writer.copy("metrics", _rows(contents, old, new, state.step))
                    data = dump_state(state, [run.run_id for run in runs], executor)
                    checkpoints.save(stack, data, writer)
                ancestors += [
                    Ancestor(new.run_id, old, state.step, shorter.experiment.name)
                    for old, new in zip(run_ids, runs, strict=True)
                ]
        note_ancestry(folder.root, ancestors)
    step = states[0][2].step
    reporter.message(f"going on from step {step:,} of {root}: {counted(len(ancestors), 'run')}")
    if rest := len(left) - len(ancestors):
        reporter.message(f"{rest:,} runs have no state there, such as diverged ones, and start at step 0")


def _states(
    root: Path, wanted: set[str], longer: Plan, reporter: Reporter
) -> Iterator[tuple[list[str], str, StackState]]:
    """Yield the ids of shorter runs, their executor and their state, (R, ...), for each kept state."""
    left, device, reasons = set(wanted), torch.device(longer.device), list[str]()
    for path in reversed(states_in(root)):
        try:
            data = path.read_bytes()
            run_ids, executor = members(data)
            state = load_state(data, run_ids, executor, device)
        except (OSError, UnfitError) as error:
            reasons.append(f"{path}: {error}")
            continue
        places = [place for place, run in enumerate(state.lanes) if run_ids[run] in left]
        if longer.executor not in ("auto", executor):
            reasons.append(f"{path}: was trained by the executor {executor}, not {longer.executor}")
        elif places:
            mine = [run_ids[state.lanes[place]] for place in places]
            left -= set(mine)
            state = state.of(places)
            state.tail_loss.zero_()  # of the shorter training's last tenth
            yield mine, executor, state
    if left == wanted:
        why = "; ".join(reasons) or f"{root / FOLDER} has no states of these runs"
        steps = longer.runs[0].settings.train.steps
        raise NormbenchError(
            f"--extend: {why}; states are kept by `normbench run --keep-states`; or train from step 0: "
            f"--set {STEPS}={steps}"
        )
    for reason in reasons:
        reporter.message(reason)


def _rows(contents: Contents, old: str, new: RunSpec, done: int) -> Sequence[list[str]]:
    """Return the rows of metrics of a shorter run that the longer one has, too, under its id."""
    wanted = {step for step in new.settings.train.evaluation_steps if step < done}
    rows = contents.rows("metrics", old, contents.choose(old))
    found = [[new.run_id, *row[1:]] for row in rows if int(row[1]) in wanted]
    if {int(row[1]) for row in found} != wanted:
        raise NormbenchError(
            f"--extend: rows of run {old} are missing in {contents.root / 'metrics.csv'}; restore the file"
        )
    return found

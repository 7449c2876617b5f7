"""The check of a plan: which executor trains each plug-in right, or why none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normbench.config import Experiment, Settings
from normbench.data import DatasetInfo
from normbench.errors import NormbenchError, PlanError
from normbench.fidelity import kept
from normbench.fidelity.alone import check_first_pass, trained_plainly, unlike
from normbench.fidelity.case import Case, double_precision
from normbench.fidelity.equal import refuse_equal_cells
from normbench.fidelity.fault import FaultError, first_sentence, place_of_options, where
from normbench.fidelity.places import is_own, place_of_error
from normbench.fidelity.reference import History, PlainRun, Tensors
from normbench.names import EXECUTORS
from normbench.planning.shapes import data_shape
from normbench.planning.stacks import choose_executor, stack_key
from normbench.plugins import used_by
from normbench.seeding import seeded

TOLERANCE = 1e-9  # relative, in float64; rounding differs by far less after a few steps
SEED = 33  # of the random state while the engine trains

# What torch says about operations that cannot be mapped or recorded, and what it means.
_PLAIN = {
    ".item()": "it reads a number out of a tensor (`.item()`)",
    "data-dependent control flow": "it branches on the values of a tensor",
    "dynamic shape": "the shape of a result depends on values (a boolean mask or `nonzero`)",
    "setup_context": "an autograd function has no rule for `torch.vmap`",
    "generate_vmap_rule": "an autograd function has no rule for `torch.vmap`",
}


@dataclass(frozen=True)
class Verdict:
    """What the check of a cell found.

    Attributes:
        executor: that trains it right; None if none does.
        reason: why the first executor does not, or why none does; empty if the first one does.
    """

    executor: str | None
    reason: str = ""


@dataclass(frozen=True)
class Checked:
    """What the check of a config found.

    Attributes:
        executors: by what the runs of a stack have in common, the executor that trains them right.
        notes: a sentence for each plug-in that another executor than the usual one trains.
    """

    executors: Mapping[str, str]
    notes: tuple[str, ...] = ()


def check_plugins(
    experiment: Experiment,
    data_dir: Path | None,
    device: str,
    executor: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Checked:
    """Return the executors that train the plug-ins of a config as a plain torch loop does.

    Cells without plug-ins are not looked at; the tests hold the built-in layers to the same check. Cells that
    cannot be built are left to the plan, which says why.

    Args:
        experiment: the config.
        data_dir: folder of the data sets.
        device: that will train.
        executor: as asked for, `auto` or a name.
        progress: called with the numbers of nets that are checked and of all; cells that differ in what may
            differ within a stack are one net.

    Raises:
        PlanError: some plug-ins cannot be trained as they are written. It has a line for each.
    """
    cells = [cell.settings for cell in experiment.cells if used_by(cell.settings)]
    executors: dict[str, str] = {}
    faults: dict[str, int] = {}
    notes: dict[str, None] = {}
    sound: list[Settings] = []
    nets, total = set[str](), len({stack_key(settings) for settings in cells})
    for settings in cells:
        progress(len(nets), total)
        nets.add(stack_key(settings))
        info = data_shape(settings.data, data_dir)
        if settings.model.refuses(info.input_shape, settings.data.batch_size):
            continue
        try:
            verdict = _verdict(settings, info, candidates(settings, device, executor))
        except NormbenchError:
            continue
        what = _named(settings)
        if verdict.executor is None:
            line = f"{what}: {verdict.reason}"
            faults[line] = faults.get(line, 0) + 1
            continue
        sound.append(settings)
        key = stack_key(settings)  # the slowest that some cell of the stack needs
        executors[key] = max(executors.get(key, verdict.executor), verdict.executor, key=EXECUTORS.index)
        if verdict.reason:
            note = (
                f"{what} is trained by the executor '{verdict.executor}', which is slower: {verdict.reason}"
            )
            notes[note] = None
    progress(total, total)
    if faults:
        lines = [f"{line} ({count} {'cell' if count == 1 else 'cells'})" for line, count in faults.items()]
        raise PlanError("\n".join(["plug-ins that cannot be trained as they are written:", *lines]))
    refuse_equal_cells(sound, data_dir)
    return Checked(executors, tuple(notes))


def candidates(settings: Settings, device: str, executor: str) -> tuple[str, ...]:
    """Return the executors to try, the best first: the one that was asked for, or by rule and then slower."""
    if executor != "auto":
        return (executor,)
    first = choose_executor(settings, device)
    return (first, *(name for name in EXECUTORS if name not in ("auto", "compiled", first)))


def _verdict(settings: Settings, info: DatasetInfo, names: Sequence[str]) -> Verdict:
    key = kept.key(settings, info, names)
    found = kept.find(key)
    if found is None:
        found = judge(Case(settings, info), names)
        kept.keep(key, found)
    return found


def judge(case: Case, executors: Sequence[str]) -> Verdict:
    """Return which of these executors trains a cell as a plain torch loop does.

    Args:
        case: the cell.
        executors: to try, in this order.
    """
    settings = case.settings
    try:
        check_first_pass(replace(case, dtype=settings.train.torch_dtype))  # as it will be trained
        with double_precision(settings.train.dtype):
            alone = trained_plainly(case)
            reasons: list[str] = []
            for executor in executors:
                reason = alone.barred.get(executor) or _difference(case, executor, alone.runs)
                if reason is None:
                    return Verdict(executor, reasons[0] if reasons else "")
                reasons.append(reason)
            reason = unlike(case) or reasons[-1]
    except FaultError as error:
        return Verdict(None, str(error))
    hint = "" if len(executors) > 1 else f" (executor '{executors[0]}'; without --executor others are tried)"
    return Verdict(None, reason + hint)


def _difference(case: Case, executor: str, plain: Sequence[PlainRun]) -> str | None:
    """Return what an executor trains otherwise than the plain loop, or None."""
    try:
        with seeded(SEED):
            histories, tensors = case.engine(executor)
    except NormbenchError as error:
        return str(error)
    except Exception as error:  # torch says in many ways that it cannot map or record something
        return _said(error, _place(plain[0]))
    for run, history, named in zip(plain, histories, tensors, strict=True):
        if reason := _differs(run, history, named):
            return f"{_place(run)}: {reason} with the executor '{executor}'"
    return None


def _place(run: PlainRun) -> str:
    """Return the place of the user's first layer, or of another part of the plug-in."""
    own = any(is_own(type(module)) for module in run.net.modules())
    return where(run.net) if own else place_of_options(run.run.settings)


def _said(error: Exception, otherwise: str) -> str:
    """Return what an error means, with the place in the user's code, or another place."""
    place = place_of_error(error) or otherwise
    text = next((plain for word, plain in _PLAIN.items() if word in str(error)), first_sentence(error))
    return f"{place}: {text}"


def _differs(run: PlainRun, history: History, tensors: Tensors) -> str | None:
    pairs: list[tuple[str, Any, Any]] = []
    for what, ours, theirs in (
        ("training loss", history.train, run.history.train),
        ("test loss", history.test, run.history.test),
    ):
        if len(ours) != len(theirs):
            return f"the training ends after {len(history.train)} steps"
        pairs += [
            (f"the {what} of step {step}", a, b) for step, (a, b) in enumerate(zip(ours, theirs, strict=True))
        ]
    for what, a, b in pairs:
        if not _close(torch.tensor(a), torch.tensor(b)):
            return f"{what} is {a:.6g} instead of {b:.6g}"
    for name, tensor in run.tensors().items():
        if name not in tensors or not _close(tensors[name], tensor):
            return f"'{name}' differs after {len(run.history.train)} steps"
    return None


def _close(ours: Tensor, theirs: Tensor) -> bool:
    if not theirs.is_floating_point():
        return torch.equal(ours.to(theirs.dtype), theirs)
    return torch.allclose(ours.double(), theirs.double(), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _named(settings: Settings) -> str:
    """Return the plug-ins of a cell for people: `norm 'clip' of my_norm.py in 'mlp'`."""
    files = ", ".join(plugin.name for plugin in used_by(settings))
    model = settings.model
    return f"{model.name} with {model.norm.name}, {model.activation}, {settings.optimizer.name} ({files})"

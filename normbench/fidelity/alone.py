"""Looks at a plug-in in plain torch: what it does that no replay of its operations can repeat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normbench.fidelity.case import STEPS, Case
from normbench.fidelity.fault import FROM_DATA, FaultError, first_sentence, place_in, place_of_failure, where
from normbench.fidelity.made import check_made, other_attribute, shared_memory
from normbench.fidelity.passes import check_passes, check_writes, made
from normbench.fidelity.places import name_of, place_of
from normbench.fidelity.reference import History, PlainRun
from normbench.fidelity.rule import check_rule
from normbench.fidelity.watch import (
    Attribute,
    Calls,
    attributes,
    changed,
    resetting,
    shared_signatures,
    signatures,
    without_tensors,
)
from normbench.seeding import seeded

SEEDS = (11, 22)  # of the random states in which a training is repeated


@dataclass(frozen=True)
class Alone:
    """What is known of a plug-in after its training in plain torch.

    Attributes:
        runs: both runs, trained.
        barred: by executor, the sentence that says why it cannot train the plug-in.
    """

    runs: list[PlainRun]
    barred: dict[str, str]


def check_first_pass(case: Case) -> None:
    """Raise a FaultError if the net, as it is made and in its first passes, shows a fault."""
    check_made(case)
    check_passes(case)


def trained_plainly(case: Case) -> Alone:
    """Return both runs, trained in plain torch.

    Raises:
        FaultError: the plug-in fails in plain torch, or carries something from one pass to the next that
            training cannot keep.
    """
    check_writes(case)
    check_rule(case)
    with Calls() as calls:  # for all trainings, because under it some layers of torch round otherwise
        run = made(case)
        touched = _noting(run, restore=False)
        seen, shared = _first_run(run)
        _check_attributes(case, run, seen, shared)
        with seeded(SEEDS[1]):
            again = _trained(case, 0)
        if (step := _differs(run.history, again.history)) is not None:
            raise FaultError(_not_repeated(run, case, step))
        _check_inference(case, run, touched)
        return Alone([run, _trained(case, 1)], calls.barred)


def _trained(case: Case, place: int) -> PlainRun:
    run = made(case, place)
    _train(run)
    return run


def _train(run: PlainRun, after_step: Callable[[], None] = lambda: None) -> None:
    """Train and evaluate in the order of the engine: an evaluation before the first step, then after each."""
    try:
        run.evaluate()
        for _ in range(STEPS):
            run.train()
            run.evaluate()
            after_step()
    except (Exception, SystemExit) as error:
        text = f"{place_of_failure(error, run.net)}: {first_sentence(error)} (in plain torch)"
        if "a second time" in text:
            text += "; keep what later steps need without its graph (`.detach()`)"
        raise FaultError(text) from error


def _not_repeated(run: PlainRun, case: Case, step: int) -> str:
    """Return the sentence for two trainings with one seed that differ."""
    other = other_attribute(made(case).net, made(case).net)
    if other is not None:
        (module, key), one, two = other
        return (
            f"{place_of(type(module), key, made=True)}: {type(module).__name__}: `self.{key}` differs "
            f"between two nets of one seed{_both(one, two)}, because something in Python counts or draws "
            "while the net is made; it must follow from the options alone"
        )
    return (
        f"{where(run.net)}: two trainings with the same seed differ at step {step}, because something "
        "in it is random or remembers the first one; draw numbers with normbench.nn.layers.Noisy, whose "
        "`uniform(x)` depends on the run's seed"
    )


def unlike(case: Case) -> str | None:
    """Return the sentence for what a stack holds otherwise than two nets do, or None."""
    net = made(case).net
    other = other_attribute(net, made(case, 1).net)
    if other is None:
        return shared_memory(net)
    (module, key), one, two = other
    return (
        f"{place_of(type(module), key, made=True)}: {type(module).__name__}: `self.{key}` differs between "
        f"two runs of a stack (other seed, rate or dropout){_both(one, two)}, but they share it; make it a "
        f"buffer (`self.register_buffer('{key}', torch.tensor(...))`)"
    )


def _both(one: object, two: object) -> str:
    if isinstance(one, Tensor) or isinstance(two, Tensor):
        return ""
    return f" ({str(one)[:40]} and {str(two)[:40]})"


# From one pass to the next


def _first_run(run: PlainRun) -> tuple[list[dict[Attribute, object]], list[dict[str, object]]]:
    """Train a run; return the signatures of its attributes after each step, and of what nets share."""
    settings = run.run.settings
    classes = type(settings.model), type(settings.model.norm), type(settings.optimizer)
    seen, shared = [signatures(run.net)], [shared_signatures(run.net, *classes)]

    def look() -> None:
        seen.append(signatures(run.net))
        shared.append(shared_signatures(run.net, *classes))

    with seeded(SEEDS[0]):
        _train(run, look)
    return seen, shared


def _check_attributes(
    case: Case, run: PlainRun, seen: list[dict[Attribute, object]], shared: list[dict[str, object]]
) -> None:
    """Raise a FaultError if attributes carry something from one pass to the next."""
    for name in changed(shared[-2], shared[-1]):
        raise FaultError(
            f"{where(run.net)}: the {name} changes in each step. All runs of a stack would share it, and "
            "the recorded step would not change it; keep such a value in a buffer (`register_buffer`)"
        )
    moved = changed(seen[0], seen[-1])
    for module, key in moved:
        counts = without_tensors(seen[-2].get((module, key))) != without_tensors(seen[-1].get((module, key)))
        if counts or _written(seen[0].get((module, key)), seen[-1].get((module, key))):
            raise FaultError(_lost(module, key, run.net))
    if not moved:
        return
    names = {module: name for name, module in run.net.named_modules()}
    other = made(case)
    other.before_forward = resetting(other.net, [(names[module], key) for module, key in moved])
    with seeded(SEEDS[0]):
        _train_loosely(other)
    if _differs(run.history, other.history) is not None:
        module, key = moved[0]
        raise FaultError(_lost(module, key, run.net))


def _written(before: object, after: object) -> bool:
    """Return whether the same tensor was written to."""
    if not (isinstance(before, tuple) and isinstance(after, tuple)):
        return False
    return before[:2] == after[:2] and before[0] == "tensor" and before != after


def _train_loosely(run: PlainRun) -> None:
    """Train as far as the run can, with its attributes set back before each pass."""
    try:
        _train(run)
    except FaultError:
        run.history.train.append(math.nan)  # then it differs


def _lost(module: nn.Module, key: str, net: nn.Module) -> str:
    value = attributes(net).get((module, key))
    place, name = place_of(type(module), key), name_of(net, module)
    if isinstance(value, bool):
        return (
            f"{place}: {name} sets the flag `self.{key}` in `forward`. The recorded step would repeat what "
            f"was done while it was not set. {FROM_DATA}"
        )
    tensor = isinstance(value, Tensor)
    kind = "tensor" if tensor else type(value).__name__
    start = "its first value" if tensor else "torch.tensor(...)"
    return (
        f"{place}: {name} changes `self.{key}` ({kind}) in `forward`, and later steps may depend on it. "
        f"The recorded step would not change it; make it a buffer (`self.register_buffer('{key}', {start})`) "
        "and update that"
    )


def _noting(run: PlainRun, restore: bool) -> dict[str, None]:
    """Return a dictionary that will name the buffers that change at inference.

    Args:
        run: not yet trained.
        restore: give the buffers their values back after each evaluation.
    """
    touched: dict[str, None] = {}

    def evaluate() -> None:
        buffers = {name: buffer.clone() for name, buffer in run.net.named_buffers()}
        PlainRun.evaluate(run)
        for name, buffer in run.net.named_buffers():
            if name in buffers and not torch.equal(buffer.nan_to_num(), buffers[name].nan_to_num()):
                touched[name] = None
                if restore:
                    buffer.copy_(buffers[name])

    run.evaluate = evaluate  # type: ignore[method-assign]
    return touched


def _check_inference(case: Case, run: PlainRun, touched: dict[str, None]) -> None:
    """Raise a FaultError if evaluations change buffers that the training depends on.

    Args:
        case: the cell.
        run: trained.
        touched: names of the buffers that its evaluations changed.
    """
    if not touched:
        return
    other = made(case)
    _noting(other, restore=True)
    with seeded(SEEDS[0]):
        _train_loosely(other)
    if _differs(run.history, other.history) is not None:
        name = next(iter(touched))
        owner, _, key = name.rpartition(".")
        module = run.net.get_submodule(owner)
        raise FaultError(
            f"{place_in(run.net, module, key)}: {name_of(run.net, module)} changes the buffer '{name}' at "
            "inference, so that the training would depend on how often the test images are evaluated; "
            "change it only `if self.training`"
        )


def _differs(one: History, other: History) -> int | None:
    """Return the number of the first step with another loss, or None."""
    for step, (a, b) in enumerate(zip(one.train, other.train, strict=False)):
        if a != b and not (math.isnan(a) and math.isnan(b)):
            return step + 1
    if len(one.train) != len(other.train):
        return min(len(one.train), len(other.train)) + 1
    pairs = enumerate(zip(one.test, other.test, strict=False))
    return next((step for step, (a, b) in pairs if a != b and not (math.isnan(a) and math.isnan(b))), None)

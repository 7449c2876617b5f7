"""Looks at a user's optimizer: one update, for one run and for a stack of two."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normbench.fidelity.case import Case
from normbench.fidelity.fault import FaultError, first_sentence
from normbench.fidelity.places import is_own, place_of, place_of_error
from normbench.fidelity.reference import Tensors
from normbench.fidelity.watch import changed, random_states, signature
from normbench.optimizers import Optimizer

LESS = 0.5  # factor of an option in the optimizer that is compared


@dataclass
class _Updated:
    """One update of a run, or of stacked runs.

    Attributes:
        params: afterwards, by name.
        rebound: names of the state that are bound to new tensors.
        drawn: the libraries that random numbers were drawn from.
        kept: names of attributes of the optimizer that changed.
        moved: whether any parameter changed.
    """

    params: Tensors
    rebound: list[str]
    drawn: list[str]
    kept: list[str]
    moved: bool


def check_rule(case: Case) -> None:
    """Raise a FaultError if a user's optimizer does not train each run of a stack by its rule."""
    optimizer: Optimizer = case.settings.optimizer
    if not is_own(type(optimizer)):
        return
    gradients = [_gradients(case, place) for place in range(len(case.runs))]
    rules = [run.settings.optimizer for run in case.runs]
    where = place_of(type(optimizer), method="update")
    alone, error = _updated(rules[0], *gradients[0], stacked=bool(optimizer.stacked))
    if optimizer.stacked is None:
        stacked, _ = _updated(rules[0], *gradients[0], stacked=True)
        if alone is None and stacked is not None:
            raise FaultError(
                f"{where}: '{optimizer.name}' works only with a run axis in front of parameters and "
                f"gradients; add `stacked = True` to the class, or write it for one run ({error})"
            )
        _refuse_odd(alone, error, where, optimizer)
        if alone and stacked and not _equal(alone.params, _first(stacked.params)):
            raise FaultError(
                f"{where}: '{optimizer.name}' gives other numbers for parameters with a run axis in front, "
                "(1, ...), than for those of one run, (...); say which `update` is written for by "
                "`stacked = True` or `stacked = False` in the class"
            )
    _refuse_odd(alone, error, where, optimizer)
    if optimizer.stacked and alone is not None:
        both = _of_both(gradients)
        beside, error = _updated(rules[0], *both, stacked=True)
        if beside is None or not _equal(_first(alone.params), _first(beside.params)):
            because = f" ({error})" if error else ""
            raise FaultError(
                f"{where}: '{optimizer.name}' mixes the runs of a stack: beside another run, a run is "
                "updated otherwise than alone. Compute norms and means per run "
                f"(`grad.flatten(1).norm(dim=1)`), or write it for one run and leave `stacked` out{because}"
            )
    _check_options(rules[0], gradients[0], alone, where)


def _refuse_odd(updated: _Updated | None, error: str, where: str, optimizer: Optimizer) -> None:
    """Raise a FaultError for what an update must never do."""
    what = f"'{optimizer.name}'"
    if updated is None:
        raise FaultError(error)
    if updated.drawn:
        raise FaultError(
            f"{where}: {what} draws random numbers of {updated.drawn[0]}, which would depend on the other "
            "runs of its stack; an update must follow from parameters, gradients and state alone"
        )
    if updated.kept:
        raise FaultError(
            f"{where}: {what} changes `self.{updated.kept[0]}` in `update`, which the recorded step would "
            "not repeat and all runs of a stack would share; keep it in `state`, or override `numbers(hyper, "
            "step)`, which gets the number of the step"
        )
    if updated.rebound:
        raise FaultError(
            f"{where}: {what} binds state['{updated.rebound[0]}'] to new tensors, which the recorded step "
            "would lose; write to them in place (`.copy_()`, `.mul_().add_()`)"
        )
    if not updated.moved:
        raise FaultError(
            f"{where}: {what} changes no parameter in place, so that nothing is trained; use "
            "`param.sub_(...)` or `param.copy_(...)`"
        )


def _check_options(
    rule: Optimizer, gradients: tuple[Tensors, Tensors], alone: _Updated | None, where: str
) -> None:
    """Raise a FaultError if `update` takes from the optimizer what it must take from `hyper`."""
    for name in rule.per_run:
        value = getattr(rule, name)
        if not isinstance(value, float) or value == 0 or alone is None:
            continue
        other = rule.model_copy(update={name: value * LESS})
        updated, _ = _updated(other, *gradients, stacked=bool(rule.stacked), numbers_of=rule)
        if updated is None or not _equal(updated.params, alone.params):
            raise FaultError(
                f"{where}: '{rule.name}' reads `self.{name}` in `update`, in which the runs of a stack may "
                f"differ; take hyper['{name}'], or leave '{name}' out of `per_run`"
            )


def _gradients(case: Case, place: int) -> tuple[Tensors, Tensors]:
    """Return parameters and first gradients of one of the runs, with a run axis of length 1."""
    run = case.plain(place)
    run.forward().backward()  # type: ignore[no-untyped-call]
    grads = {name: param.grad.unsqueeze(0) for name, param in run.params.items() if param.grad is not None}
    return {name: run.params[name].detach().clone().unsqueeze(0) for name in grads}, grads


def _of_both(runs: list[tuple[Tensors, Tensors]]) -> tuple[Tensors, Tensors]:
    params, grads = (
        {name: torch.cat([one[part][name] for one in runs]) for name in runs[0][part]} for part in (0, 1)
    )
    return params, grads


def _updated(
    rule: Optimizer, params: Tensors, grads: Tensors, *, stacked: bool, numbers_of: Optimizer | None = None
) -> tuple[_Updated | None, str]:
    """Return what one update does, or None and the error.

    Args:
        rule: the optimizer.
        params: parameters by name, (R, ...); they stay as they are.
        grads: gradients by name, (R, ...).
        stacked: whether the rule gets the run axis; without, R is 1.
        numbers_of: the optimizer whose options `hyper` has; the rule itself if left out.
    """
    runs = len(next(iter(params.values())))

    def axis(tensors: Tensors) -> Tensors:
        return {name: tensor.clone() if stacked else tensor[0].clone() for name, tensor in tensors.items()}

    options = numbers_of or rule
    values = {name: getattr(options, name) for name in options.per_run}
    chosen = {name: value for name, value in values.items() if value or name not in options.switches}
    dtype = next(iter(params.values())).dtype
    own, slopes, before = axis(params), axis(grads), axis(params)
    mutable, drawn = _attributes(rule), random_states()
    try:
        with torch.no_grad():
            state = rule.state(dict(own))
            held = {what: dict(tensors) for what, tensors in state.items()}
            hyper = {name: torch.full((runs,), float(value), dtype=dtype) for name, value in chosen.items()}
            hyper = rule.numbers(hyper, 0)
            rule.update(dict(own), slopes, state, hyper if stacked else axis(hyper))
    except Exception as error:
        where = place_of_error(error) or place_of(type(rule), method="update")
        return None, f"{where}: {first_sentence(error)}"
    rebound = [
        what
        for what, tensors in held.items()
        if any(state[what].get(name) is not tensor for name, tensor in tensors.items())
    ]
    moved = any(not torch.equal(before[name], own[name]) for name in own)
    kept = changed(mutable, _attributes(rule))
    return _Updated(own, rebound, changed(drawn, random_states()), kept, moved), ""


def _attributes(rule: Optimizer) -> dict[str, object]:
    values = {**vars(rule), **(rule.__pydantic_private__ or {})}
    return {name: signature(value) for name, value in values.items()}


def _first(tensors: Tensors) -> Tensors:
    """Return the tensors of the first run."""
    return {name: tensor[0] for name, tensor in tensors.items()}


def _equal(one: Tensors, other: Tensors) -> bool:
    return all(_close(one[name], other[name]) for name in one)


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)

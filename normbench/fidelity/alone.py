"""Looks at a plug-in in plain torch: what it does that no replay of its operations can repeat."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.engine.randomness import NoHiddenRandomness
from normbench.errors import NormbenchError
from normbench.fidelity.case import STEPS, Case
from normbench.fidelity.places import is_own, name_of, place_of, place_of_error
from normbench.fidelity.reference import History, PlainRun
from normbench.fidelity.watch import (
    Attribute,
    Watch,
    attributes,
    changed,
    described,
    resetting,
    shared_signatures,
    signatures,
    watching,
    without_tensors,
)
from normbench.nn.layers import noise
from normbench.nn.torch_private import uncompiled
from normbench.optimizers import Optimizer
from normbench.seeding import seeded

_FROM_DATA = (
    "To initialize from data, give the layer a method `initialize(self, x)`, which is called once with its "
    "inputs for the first batch"
)
SEEDS = (11, 22)  # of the random states in which a training is repeated


class FaultError(Exception):
    """The text says what a plug-in does wrong, where, and how to mend it."""


def first_sentence(error: BaseException) -> str:
    """Return the first line of an error, at most 200 characters, with the error's type."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def trained_plainly(case: Case) -> list[PlainRun]:
    """Return both runs, trained in plain torch.

    Raises:
        FaultError: the plug-in fails in plain torch, or carries something from one pass to the next that
            training cannot keep.
    """
    _check_writes(case)
    _check_optimizer(case)
    run, before, after = _first_run(case)
    _check_attributes(case, run, before, after)
    with seeded(SEEDS[1]):
        again = _trained(case, 0)
    if (step := _differs(run.history, again.history)) is not None:
        raise FaultError(
            f"{_where(run.net)}: two trainings with the same seed differ at step {step}, because something "
            "in it is random; draw numbers with normbench.nn.layers.Noisy, whose `uniform(x)` depends on the "
            "run's seed"
        )
    return [run, _trained(case, 1)]


def _made(case: Case, place: int = 0) -> PlainRun:
    try:
        return case.plain(place)
    except NormbenchError:
        raise
    except Exception as error:
        where = place_of_error(error)
        raise FaultError(f"{where}: {first_sentence(error)} (while the net is made)") from error


def _trained(case: Case, place: int) -> PlainRun:
    run = _made(case, place)
    _train(run)
    return run


def _train(run: PlainRun) -> None:
    """Train and evaluate in the order of the engine: an evaluation before the first step, then after each."""
    try:
        run.evaluate()
        for _ in range(STEPS):
            run.train()
            run.evaluate()
    except Exception as error:
        raise FaultError(f"{_of(error, run.net)}: {first_sentence(error)} (in plain torch)") from error


# The first pass


def check_first_pass(case: Case) -> None:
    """Raise a FaultError if the first forward and backward pass in plain torch show a fault."""
    run = _made(case)
    net = run.net
    with watching(net) as watch:
        try:
            batch = run.sampler.batch([run.run.seed], 0)
            with noise(batch.noise), NoHiddenRandomness(), uncompiled():
                logits = net.train()(batch.x)
            _check_logits(logits, batch.y, case.info.classes, net)
            loss = F.cross_entropy(logits, batch.y)
        except FaultError:
            raise
        except NormbenchError as error:
            raise FaultError(f"{_of(error, net)}: {error}") from error
        except Exception as error:
            raise FaultError(_failed(error, watch, net)) from error
    _check_outputs(watch, net)
    _check_draws(watch, net)
    if not math.isfinite(loss.item()):
        _refuse_infinite(watch, net)
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        raise FaultError(f"{_of(error, net)}: {first_sentence(error)} (in the backward pass)") from error
    for name, param in run.params.items():
        if param.grad is None:
            owner = net.get_submodule(name.rpartition(".")[0])
            raise FaultError(
                f"{_place(owner, net)}: the parameter '{name}' has no effect on the loss; use it in "
                "`forward`, or remove it"
            )


def _check_logits(logits: object, y: Tensor, classes: int, net: nn.Module) -> None:
    wanted = (len(y), classes)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        raise FaultError(
            f"{_where(net)}: the net returns {described(logits)}; it must return logits {wanted}"
        )


def _check_outputs(watch: Watch, net: nn.Module) -> None:
    """Raise a FaultError if a normalization layer of the user does not return what it got, normalized."""
    for output in watch.outputs:
        norm = name_of(net, output.module).removesuffix(")").rpartition(".")[2] == "norm"
        got, returned = output.got, output.returned
        if not norm or not isinstance(got, Tensor):
            continue
        if not isinstance(returned, Tensor) or returned.shape != got.shape or returned.dtype != got.dtype:
            raise FaultError(
                f"{place_of(type(output.module))}: {name_of(net, output.module)}: {output}; "
                "a normalization returns a tensor of the same shape and dtype"
            )


def _check_draws(watch: Watch, net: nn.Module) -> None:
    for module, library in watch.draws:
        owner = _own_or_parent(module, net)
        inner = "" if owner is module else f", in {type(module).__name__},"
        raise FaultError(
            f"{place_of(type(owner))}: {name_of(net, owner)}{inner} draws random numbers of {library}, which "
            "would depend on the other runs of its stack; use normbench.nn.layers.Dropout, or derive the "
            "layer from normbench.nn.layers.Noisy, whose `uniform(x)` depends only on the run's seed, the "
            "step and the layer's place in the net"
        )


def _refuse_infinite(watch: Watch, net: nn.Module) -> None:
    module = watch.infinite
    if module is None:
        raise FaultError(f"{_where(net)}: the loss is not finite on the first batch, before any update")
    owner = _own_or_parent(module, net)
    raise FaultError(
        f"{place_of(type(owner))}: {name_of(net, module)} returns NaN or infinity on its first batch, before "
        "any update; no learning rate can mend that"
    )


def _check_writes(case: Case) -> None:
    """Raise a FaultError if a forward pass changes or replaces a parameter.

    A rule such as `self.gain.data.clamp_(0.5, 2)` changes nothing at first. So the parameters are far from
    their initial values here.
    """
    for spread in (0.0, 3.0):
        run = _made(case)
        net = run.net
        with torch.no_grad(), seeded(SEEDS[0]):
            for param in net.parameters():
                param.add_(spread * torch.randn_like(param))
        before = {id(p): (name, p.data_ptr(), p.detach().clone()) for name, p in net.named_parameters()}
        with contextlib.suppress(Exception):  # far from its initial weights a net may well fail
            run.forward()
        for name, param in net.named_parameters():
            _, place, value = before.get(id(param), ("", 0, None))
            if value is None or place != param.data_ptr() or not _equal(value, param.detach()):
                owner, _, key = name.rpartition(".")
                module = net.get_submodule(owner)
                raise FaultError(
                    f"{_place(module, net, key)}: `forward` changes the parameter '{name}'. Compute the "
                    f"changed value where it is used (for example `self.{key}.clamp(...)`). {_FROM_DATA}"
                )


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _failed(error: Exception, watch: Watch, net: nn.Module) -> str:
    """Return the sentence for a forward pass that raised."""
    last = watch.outputs[-1] if watch.outputs else None
    if last is not None:
        got, returned = last.got, last.returned
        odd = not isinstance(returned, Tensor) or (
            isinstance(got, Tensor) and (returned.dtype != got.dtype or len(returned.shape) != len(got.shape))
        )
        if odd:
            return (
                f"{place_of(type(last.module))}: {name_of(net, last.module)}: {last}; the net cannot go on "
                f"with that ({first_sentence(error)})"
            )
    return f"{_of(error, net)}: {first_sentence(error)} (in plain torch)"


# From one pass to the next


def _first_run(case: Case) -> tuple[PlainRun, list[dict[Attribute, object]], list[dict[str, object]]]:
    """Return a trained run, the signatures of its attributes after each step, and of what nets share."""
    run = _made(case)
    seen, shared = [signatures(run.net)], [shared_signatures(run.net)]
    with seeded(SEEDS[0]):
        try:
            run.evaluate()
            for _ in range(STEPS):
                run.train()
                run.evaluate()
                seen.append(signatures(run.net))
                shared.append(shared_signatures(run.net))
        except Exception as error:
            raise FaultError(f"{_of(error, run.net)}: {first_sentence(error)} (in plain torch)") from error
    return run, seen, shared


def _check_attributes(
    case: Case, run: PlainRun, seen: list[dict[Attribute, object]], shared: list[dict[str, object]]
) -> None:
    """Raise a FaultError if attributes carry something from one pass to the next."""
    for name in changed(shared[-2], shared[-1]):
        raise FaultError(
            f"{_where(run.net)}: the {name} changes in each step. All runs of a stack would share it, and "
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
    other = _made(case)
    other.before_forward = resetting(other.net, [(names[module], key) for module, key in moved])
    with seeded(SEEDS[0]):
        _train_loosely(other)
    if _differs(run.history, other.history) is not None:
        module, key = moved[0]
        raise FaultError(_lost(module, key, run.net))


def _written(before: object, after: object) -> bool:
    """Return whether the same tensor was written to."""
    both = isinstance(before, tuple) and isinstance(after, tuple)
    return both and before[:2] == after[:2] and before[:1] == ("tensor",) and before != after  # type: ignore


def _train_loosely(run: PlainRun) -> None:
    """Train as far as the run can, with its attributes set back before each pass."""
    try:
        _train(run)
    except FaultError:
        run.history.train.append(math.nan)  # then it differs


def _lost(module: nn.Module, key: str, net: nn.Module) -> str:
    value = attributes(net).get((module, key))
    where, name = place_of(type(module), key), name_of(net, module)
    if isinstance(value, bool):
        return (
            f"{where}: {name} sets the flag `self.{key}` in `forward`. The recorded step would repeat what "
            f"was done while it was not set. {_FROM_DATA}"
        )
    kind = "tensor" if isinstance(value, Tensor) else type(value).__name__
    return (
        f"{where}: {name} changes `self.{key}` (a {kind}) in `forward` and depends on it later. The recorded "
        f"step would not change it; make it a buffer (`self.register_buffer('{key}', torch.tensor(...))`) "
        "and update that"
    )


# The optimizer


def _check_optimizer(case: Case) -> None:
    """Raise a FaultError if an optimizer does not say whether it is written for one run or for a stack."""
    optimizer: Optimizer = case.settings.optimizer
    if optimizer.stacked is not None:
        return
    alone, alone_error = _updated(case, stacked=False)
    stacked, _ = _updated(case, stacked=True)
    where = place_of(type(optimizer), method="update")
    if alone is None and stacked is None:
        raise FaultError(f"{where}: {alone_error}")
    if alone is None:
        raise FaultError(
            f"{where}: '{optimizer.name}' works only with a run axis in front of parameters and gradients; "
            f"add `stacked = True` to the class, or write it for one run ({alone_error})"
        )
    if stacked is not None and any(not _close(alone[name], stacked[name]) for name in alone):
        raise FaultError(
            f"{where}: '{optimizer.name}' gives other numbers for parameters with a run axis in front, "
            "(1, ...), than for those of one run, (...); say which `update` is written for by "
            "`stacked = True` or `stacked = False` in the class"
        )


def _updated(case: Case, stacked: bool) -> tuple[dict[str, Tensor] | None, str]:
    """Return the parameters after one update, or None and the error."""
    run = _made(case)
    run.forward().backward()  # type: ignore[no-untyped-call]
    grads = {name: param.grad for name, param in run.params.items() if param.grad is not None}
    params = {name: run.params[name].detach().clone() for name in grads}
    try:
        with torch.no_grad():
            start = {name: param.unsqueeze(0) if stacked else param for name, param in params.items()}
            run.apply(params, grads, run.optimizer.state(start), stacked)
    except Exception as error:
        return None, first_sentence(error)
    return params, ""


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True)


# Who is at fault


def _differs(one: History, other: History) -> int | None:
    """Return the number of the first step with another loss, or None."""
    for step, (a, b) in enumerate(zip(one.train, other.train, strict=False)):
        if a != b and not (math.isnan(a) and math.isnan(b)):
            return step + 1
    if len(one.train) != len(other.train):
        return min(len(one.train), len(other.train)) + 1
    pairs = enumerate(zip(one.test, other.test, strict=False))
    return next((step for step, (a, b) in pairs if a != b and not (math.isnan(a) and math.isnan(b))), None)


def _own_or_parent(module: nn.Module, net: nn.Module) -> nn.Module:
    """Return the module if the user wrote it, otherwise the innermost module of the user that contains it."""
    if is_own(type(module)):
        return module
    holders = [
        one for one in net.modules() if is_own(type(one)) and any(part is module for part in one.modules())
    ]
    return holders[-1] if holders else module


def _place(module: nn.Module, net: nn.Module, attribute: str = "") -> str:
    owner = _own_or_parent(module, net)
    return place_of(type(owner), attribute)


def _where(net: nn.Module) -> str:
    """Return the place of the user's first module in the net."""
    own = next((module for module in net.modules() if is_own(type(module))), None)
    return place_of(type(own)) if own is not None else type(net).__name__


def _of(error: BaseException, net: nn.Module) -> str:
    return place_of_error(error) or _where(net)

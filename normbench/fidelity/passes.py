"""Looks at single passes of a net in plain torch: what they return, draw, write and make."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.engine.batches import Batch
from normbench.engine.randomness import NoHiddenRandomness
from normbench.errors import NormbenchError
from normbench.fidelity.case import Case
from normbench.fidelity.fault import (
    FROM_DATA,
    OWN_NOISE,
    FaultError,
    first_sentence,
    own_or_parent,
    place_in,
    place_of_failure,
    where,
)
from normbench.fidelity.places import name_of, place_of, place_of_error
from normbench.fidelity.reference import PlainRun
from normbench.fidelity.watch import Watch, changed, described, random_states, watching
from normbench.nn.layers import noise
from normbench.nn.torch_private import traceable
from normbench.seeding import seeded

SEED = 11  # of the random state in which parameters are moved


def made(case: Case, place: int = 0) -> PlainRun:
    """Return one of the runs, untrained.

    Raises:
        FaultError: its net cannot be made.
    """
    try:
        return case.plain(place)
    except NormbenchError:
        raise
    except Exception as error:
        text = f"{place_of_error(error)}: {first_sentence(error)} (while the net is made)"
        raise FaultError(text) from error


def check_passes(case: Case) -> None:
    """Raise a FaultError if the first passes show a fault: in training, backward, and at inference."""
    run = made(case)
    net, batch = run.net, run.sampler.batch([run.run.seed], 0)
    logits = _checked_forward(net.train(), batch, case)
    loss = F.cross_entropy(logits, batch.y)
    before = random_states()
    try:
        loss.backward()  # type: ignore[no-untyped-call]
    except Exception as error:
        text = f"{place_of_failure(error, net)}: {first_sentence(error)} (in the backward pass)"
        raise FaultError(text) from error
    for library in changed(before, random_states()):
        raise FaultError(
            f"{where(net)}: {type(net).__name__} draws random numbers of {library} in the backward pass, "
            f"which would depend on the other runs of its stack; draw them in `forward`: {OWN_NOISE}"
        )
    for name, param in run.params.items():
        if param.grad is None:
            owner, _, attribute = name.rpartition(".")
            raise FaultError(
                f"{place_in(net, net.get_submodule(owner), attribute, made=True)}: the parameter '{name}' "
                "has no effect on the loss; use it in `forward`, or remove it"
            )
    test = case.dataset.test
    with torch.no_grad():
        _checked_forward(net.eval(), Batch(test.x, test.y, {}, True), case)


def _checked_forward(net: nn.Module, batch: Batch, case: Case) -> Tensor:
    """Return the logits of a pass in which nothing is wrong."""
    tensors = {name: (t.shape, t.dtype) for name, t in (*net.named_parameters(), *net.named_buffers())}
    parts = {name: id(part) for name, part in (*net.named_modules(), *net.named_parameters())}
    images = batch.x.clone()
    with watching(net) as watch:
        try:
            with noise(batch.noise), NoHiddenRandomness(), traceable():
                logits = net(images)
            _check_outputs(watch, net)
            _check_logits(logits, batch.y, case.info.classes, net)
        except FaultError:
            raise
        except NormbenchError as error:
            raise FaultError(f"{place_of_failure(error, net)}: {error}") from error
        except (Exception, SystemExit) as error:
            raise FaultError(_failed(error, watch, net)) from error
    _check_structure(tensors, net)
    for name, part in (*net.named_modules(), *net.named_parameters()):
        if parts.get(name) != id(part):
            owner, _, attribute = name.rpartition(".")
            raise FaultError(
                f"{place_in(net, net.get_submodule(owner), attribute)}: `forward` replaces '{name}', which a "
                "recorded step does not; make it in `__init__`, and keep what changes in buffers"
            )
    for module, library in watch.draws:
        owner = own_or_parent(module, net)
        inner = "" if owner is module else f", in {type(module).__name__},"
        raise FaultError(
            f"{place_of(type(owner))}: {name_of(net, owner)}{inner} draws random numbers of {library}, which "
            f"would depend on the other runs of its stack; {OWN_NOISE}"
        )
    if not torch.equal(images, batch.x):
        raise FaultError(
            f"{where(net)}: `forward` changes the images that it gets in place, so that other passes would "
            "see other images; write to a new tensor (`x = 0.5 * x`, not `x *= 0.5`)"
        )
    if not math.isfinite(F.cross_entropy(logits, batch.y).item()):
        _refuse_infinite(watch, net)
    return logits


def _check_logits(logits: object, y: Tensor, classes: int, net: nn.Module) -> None:
    wanted = (len(y), classes)
    if not isinstance(logits, Tensor) or tuple(logits.shape) != wanted:
        raise FaultError(f"{where(net)}: the net returns {described(logits)}; it must return logits {wanted}")


def _check_structure(before: dict[str, tuple[torch.Size, torch.dtype]], net: nn.Module) -> None:
    """Raise a FaultError if a pass makes, removes or reshapes parameters and buffers."""
    params, buffers = dict(net.named_parameters()), dict(net.named_buffers())
    for name in dict.fromkeys((*before, *params, *buffers)):
        tensor = {**params, **buffers}.get(name)
        now = None if tensor is None else (tensor.shape, tensor.dtype)
        if now == before.get(name):
            continue
        owner, _, attribute = name.rpartition(".")
        while owner and owner not in dict(net.named_modules()):
            owner, _, attribute = owner.rpartition(".")
        module = net.get_submodule(owner)
        place = place_in(net, module, attribute)
        kind = "parameter" if name in params else "buffer"
        if name in before and now is not None:
            raise FaultError(
                f"{place}: `forward` changes the shape or dtype of the {kind} '{name}'; give it its final "
                "shape in `__init__`"
            )
        what = f"makes the {kind} '{name}'" if now is not None else f"removes '{name}'"
        raise FaultError(
            f"{place}: `forward` {what}, but the tensors of a stack are fixed before training; do it in "
            f"`__init__`. {FROM_DATA}"
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


def _refuse_infinite(watch: Watch, net: nn.Module) -> None:
    module = watch.infinite
    if module is None:
        raise FaultError(f"{where(net)}: the loss is not finite on the first batch, before any update")
    owner = own_or_parent(module, net)
    raise FaultError(
        f"{place_of(type(owner))}: {name_of(net, module)} returns NaN or infinity on its first batch, before "
        "any update; no learning rate can mend that"
    )


def _failed(error: BaseException, watch: Watch, net: nn.Module) -> str:
    """Return the sentence for a forward pass that raised.

    Raises:
        FaultError: a normalization returned another shape before; the part that then fails is not to blame.
    """
    _check_outputs(watch, net)
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
    return f"{place_of_failure(error, net)}: {first_sentence(error)} (in plain torch){_got(watch, net)}"


def _got(watch: Watch, net: nn.Module) -> str:
    """Return what the module that failed got, and how a layer serves images, if that is likely the slip."""
    if not watch.inside:
        return ""
    module, got = watch.inside[-1]
    text = f"; {name_of(net, module)} got {described(got)}"
    if isinstance(got, Tensor) and got.dim() == 4:
        text += (
            ": images, features in dimension 1; a parameter for each feature needs the shape "
            "(features, 1, 1) there, such as `gain.view(-1, *[1] * (x.dim() - 2))`"
        )
    return text


def check_writes(case: Case) -> None:
    """Raise a FaultError if a forward pass changes or replaces a parameter.

    A rule such as `self.gain.data.clamp_(0.5, 2)` changes nothing at first. So the parameters are far from
    their initial values here.
    """
    for spread in (0.0, 3.0):
        run = made(case)
        net = run.net
        with torch.no_grad(), seeded(SEED):
            for param in net.parameters():
                param.add_(spread * torch.randn_like(param))
        before = {name: (p.data_ptr(), p.detach().clone()) for name, p in net.named_parameters()}
        for train in (True, False):
            with contextlib.suppress(Exception):  # far from its initial weights a net may well fail
                run.forward() if train else run.evaluate()
        for name, param in net.named_parameters():
            place, value = before[name]
            if place != param.data_ptr() or not torch.equal(value.nan_to_num(), param.detach().nan_to_num()):
                owner, _, attribute = name.rpartition(".")
                raise FaultError(
                    f"{place_in(net, net.get_submodule(owner), attribute)}: `forward` changes the parameter "
                    f"'{name}'. Compute the changed value where it is used (for example "
                    f"`self.{attribute}.clamp(...)`). {FROM_DATA}"
                )

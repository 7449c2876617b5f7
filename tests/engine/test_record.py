"""A recorded function runs again on other inputs, equals torch's own trace, and loads no compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from normbench.engine.record import NotRecordableError, recorded
from normbench.nn.torch_private import TorchDispatchMode

X, Y = torch.rand(2, 3, 4), torch.rand(2, 4, 5)


def several(x, y):
    low, place = torch.func.vmap(lambda row: row.min(0))(torch.tanh(x) @ y)
    return [low * 2, place, torch.ones(2), *x.chunk(3, 1)]


def updated(x, y):
    leaf = y.detach().requires_grad_()
    (grad,) = torch.autograd.grad(torch.bmm(x, leaf).square().sum(), leaf)
    y.addcmul_(grad, torch.full((2, 1, 1), 0.1), value=-1)
    return [y, y.sum()]


def written_into_a_constant(x, y):
    running = torch.tensor([1.0, 2.0])
    running.add_(x.mean())
    return [running * 1]


def written_through_a_view(x, y):
    both = torch.cat([x.flatten(), y.flatten()])
    both[2:4].mul_(3)
    return [both, both.sum()]


def shared(x, y):
    return [x, x, x.detach()]


def indexed(x, y):
    rows, columns = torch.arange(3) * 2 % 3, x[0].argmax(1)
    return [x[0, rows, columns], x[:, rows], torch.ones(3)[torch.tensor([True, False, True])] + x.mean()]


WEIGHT = torch.nn.Parameter(torch.rand(4))


def captured(x, y):
    return [(x * WEIGHT).detach(), x[:, 0] * float(torch.tensor(3.0))]


def operations(graph):
    """Return the names; torch writes `alias` for `detach`, and keeps constants that nothing uses."""
    names = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
    return [name.replace("detach", "alias") for name in names if "lift_fresh" not in name]


@pytest.mark.parametrize(
    "function", [several, updated, written_into_a_constant, written_through_a_view, shared, indexed, captured]
)
def test_it_repeats_the_function_on_other_inputs_and_equals_torchs_own_trace(function):
    graph = recorded(function, X.clone(), Y.clone())
    for scale in (1, -2):
        mine, its = (scale * X, scale * Y), (scale * X, scale * Y)
        for one, other in zip(graph(*mine), function(*its), strict=True):
            assert torch.equal(one, other)
        assert all(torch.equal(one, other) for one, other in zip(mine, its, strict=True))
    theirs = make_fx(function)(X.clone(), Y.clone())
    assert operations(graph) == operations(theirs)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: [x * x.sum().item()], "reads a number"),
        (lambda x: [x if x.sum() > 0 else -x], "reads a number"),
        (lambda x: [x[x > 0.5].sum()], "shape of a result depends on values"),
        (lambda x: [torch.ones(1).add_(x.sum()).log() * float(torch.zeros(1).copy_(x[0, 0, :1]))], "reads"),
        (lambda x: [torch.bernoulli(x * 0, generator=torch.Generator())], "Generator"),
        (lambda x: [torch.cond(torch.ones(1) > 0, lambda a: a + 1, lambda a: a - 1, (x,))], "no|not"),
    ],
)
def test_what_a_list_of_operations_cannot_repeat_is_refused(function, reason):
    with pytest.raises((NotRecordableError, RuntimeError), match=reason):
        recorded(function, X.clone())


def test_nothing_is_kept_alive_by_the_recorder():
    seen = []

    def function(x):
        for _ in range(5):
            x = x * 2
            seen.append(sys.getrefcount(x))
        return [x]

    recorded(function, X.clone())
    assert len(set(seen)) == 1


@pytest.mark.skipif(
    not hasattr(TorchDispatchMode, "_should_skip_dynamo"), reason="this torch loads it for any dispatch mode"
)
def test_training_does_not_load_torchs_compiler():
    code = (
        "import sys; sys.path.insert(0, 'tests'); from helpers.engine import Trained, runs_of;"
        "Trained(runs_of(train={'steps': 2}), 'vectorized'); Trained(runs_of(train={'steps': 2}), 'looped');"
        "print([name for name in ('torch._dynamo', 'torch._inductor') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr

"""Torch's private functions are as normbench expects; a failure says what changed and what relies on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import normbench
from normbench.engine.record import recorded
from normbench.nn import torch_private

ROOT = Path(normbench.__file__).parent


def changed(what: str, relies: str) -> str:
    mend = "adapt normbench/nn/torch_private.py"
    return f"torch {torch.__version__} changed {what}; {relies} relies on it: {mend}"


def test_transforms_active_tells_a_transform_from_none():
    seen = []

    def look(x):
        seen.append(torch_private.transforms_active())
        return x

    look(torch.ones(2))
    torch.func.vmap(look)(torch.ones(2))
    torch.func.grad(look)(torch.tensor(1.0))
    assert seen == [False, True, True], changed("_are_functorch_transforms_active", "the LSTM cell")


@pytest.mark.parametrize(
    ("name", "function"), [("sigmoid", torch.sigmoid), ("tanh", torch.tanh)], ids=["sigmoid", "tanh"]
)
def test_derivatives_equal_autograd_and_can_write_into_a_tensor(name, function):
    x = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    y = function(x)
    grad = torch.arange(7.0, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, x, grad)
    got = getattr(torch_private, f"{name}_backward")(grad, y.detach())
    into = torch.empty_like(grad)
    getattr(torch_private, f"{name}_backward_into")(grad, y.detach(), grad_input=into)
    assert torch.equal(got, expected), changed(
        f"aten.{name}_backward", "nn/activations.py and nn/recurrent.py"
    )
    assert torch.equal(into, expected), changed(f"aten.{name}_backward.grad_input", "nn/recurrent.py")


def test_batch_norm_backward_equals_autograd():
    torch.manual_seed(0)
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    grad = torch.randn_like(x)
    y = torch.nn.functional.batch_norm(x, None, None, weight, bias, True, 0.0, 1e-5)
    expected = torch.autograd.grad(y, [x, weight, bias], grad)
    _, mean, scale = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, 1e-5)
    got = torch_private.batch_norm_backward(
        grad, x, weight, None, None, mean, scale, True, 1e-5, [True, True, True]
    )
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(
            one, other, msg=changed("aten.native_batch_norm_backward", "batch normalization of images")
        )


def test_a_trace_has_the_operations_that_the_fusion_of_updates_looks_for():
    def step(w, x, lr):
        leaf = w.detach().requires_grad_()
        (grad,) = torch.autograd.grad(torch.bmm(x, leaf).square().sum(), leaf)
        w.addcmul_(grad, lr, value=-1)
        return [w]

    graph = recorded(step, torch.ones(2, 3, 4), torch.ones(2, 5, 3), torch.ones(2, 1, 1))
    targets = {node.target for node in graph.graph.nodes if node.op == "call_function"}
    wanted = {torch_private.aten.bmm.default, torch_private.aten.addcmul_.default}
    assert wanted <= targets, changed("what a dispatch mode sees", "engine/trace.py")
    update = next(n for n in graph.graph.nodes if n.target is torch_private.aten.addcmul_.default)
    assert isinstance(update.target, torch_private.OpOverload)
    assert update.target._schema.name.endswith("_"), changed("OpOverload._schema", "engine/trace.py")
    assert update.meta["shape"] == (2, 3, 4)


def test_direct_functions_give_the_same_as_their_operations():
    """A sample of each kind; a wrong entry would train something else."""
    a, b = torch.rand(2, 3, 3) + 0.5, torch.rand(2, 3, 3) + 0.5
    aten = torch_private.aten
    for operation, arguments in (
        (aten.bmm.default, (a, b)),
        (aten.mul.Tensor, (a, b)),
        (aten.div.Scalar, (a, 2.0)),
        (aten.mean.dim, (a, [1], True)),
        (aten.sum.dim_IntList, (a, [1], True)),
        (aten.squeeze.dim, (a[:1], 0)),
        (aten.transpose.int, (a, 1, 2)),
        (aten.where.self, (a > b, a, b)),
        (aten.view.default, (a, [2, 9])),
        (aten.expand.default, (a[:1], [2, 3, 3])),
    ):
        direct = torch_private.DIRECT[operation]
        assert torch.equal(direct(*arguments), operation(*arguments)), changed(
            str(operation), "engine/trace.py"
        )


def test_every_direct_operation_of_the_table_is_in_this_torch():
    expected = sum(len(names.split()) for names, _ in (*torch_private._FUNCTIONS, *torch_private._METHODS))
    missing = expected - len(torch_private.DIRECT)
    assert not missing, changed(f"{missing} operations of DIRECT", "the speed of traced steps")


def test_private_names_of_torch_are_in_two_files():
    private = re.compile(r"torch\._[^_]|torch\.(ops|fx\.experimental|utils\._)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(ROOT.rglob("*.py"))
        if path not in (ROOT / "nn" / "torch_private.py", ROOT / "nn" / "inductor.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if private.search(line)
    ]
    assert not found, "import these from normbench/nn/torch_private.py, or nn/inductor.py for the compiler"

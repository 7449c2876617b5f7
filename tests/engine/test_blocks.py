"""Chains of element-wise operations run block by block, with the bits of whole tensors."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from helpers.engine import Trained, runs_of

from normbench.engine import blocks, trace
from normbench.engine.blocks import run_in_blocks
from normbench.engine.record import recorded
from normbench.nn.torch_private import ELEMENTWISE, OpOverload


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make blocks so small that tensors of some hundred elements have several, and start without traces."""
    monkeypatch.setattr(blocks, "BLOCK", 64)
    monkeypatch.setattr(blocks, "LEAST", 2)
    monkeypatch.setattr(trace, "_cache", OrderedDict())


def chains(graph):
    return sum(node.op == "call_module" for node in graph.graph.nodes)


def in_place(w, g, lr):
    w.mul_(0.9).add_(g)
    return [w * 1]


def through_new_tensors(w, g, lr):
    w.sub_((g * g + 1).sqrt_().mul_(lr))
    return [w.sum()]


def with_small_operations_between(w, g, lr):
    w.mul_(lr)
    w.add_(g * (1 - lr))
    return [w.sum()]


def a_new_tensor_is_needed_later(w, g, lr):
    step = g * lr
    root = step.abs().sqrt_()
    w.sub_(root).mul_(0.5)
    return [step, w.sum()]


def a_changed_new_tensor_is_needed_later(w, g, lr):
    step = (g * lr).add_(1)
    w.sub_(step).mul_(0.5).neg_()
    return [step]


def another_view_is_read(w, g, lr):
    flipped = w.view(-1).view(w.shape[0], w.shape[2], w.shape[1]).transpose(1, 2)
    w.mul_(2)
    g.add_(flipped)
    w.add_(g).neg_()
    return [w.sum()]


def what_lies_between_reads_what_changes(w, g, lr):
    w.mul_(2)
    seen = w[:, 0, 0].clone()
    w.add_(g).neg_()
    return [seen]


def without_a_run_axis(w, g, lr):
    first, row, one = g[0], g[0, 0], g[:1]
    w.mul_(first).add_(row).mul_(one)
    return []


FUNCTIONS = {
    in_place: 1,
    through_new_tensors: 1,
    with_small_operations_between: 1,
    a_new_tensor_is_needed_later: 1,
    a_changed_new_tensor_is_needed_later: 1,
    another_view_is_read: 1,
    what_lies_between_reads_what_changes: 1,
    without_a_run_axis: 1,
}


@pytest.mark.parametrize("shape", [(3, 7, 30), (40, 5, 3), (1, 9, 40), (2, 3, 300)])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_blocks_give_the_bits_of_whole_tensors(function, shape):
    def example():
        torch.manual_seed(0)
        return torch.randn(shape), torch.randn(shape), torch.rand(shape[0], 1, 1)

    graph = recorded(function, *example())
    run_in_blocks(graph)
    graph.recompile()
    assert chains(graph) == FUNCTIONS[function]
    mine, plain = example(), example()
    outputs, expected = graph(*mine), function(*plain)
    assert len(outputs) == len(expected)
    for one, other in zip([*outputs, *mine], [*expected, *plain], strict=True):
        assert torch.equal(one, other)


OPTIMIZERS = (
    {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    {"name": "adam", "weight_decay": 0.1},
    {"name": "adam", "clip_norm": 0.5},
    {"name": "rmsprop", "momentum": 0.5},
)


@pytest.mark.parametrize("executor", ["vectorized", "looped"])
@pytest.mark.parametrize("norm", ["batchnorm", "weightnorm"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_a_run_in_blocks_has_the_bits_of_one_without(optimizer, norm, executor, monkeypatch):
    runs = runs_of(
        seeds=3, model={"norm": norm, "width": 19}, optimizer={"lr": 0.01, **optimizer}, train={"steps": 20}
    )
    made = []
    monkeypatch.setattr(blocks.Blocks, "__init__", _counting(blocks.Blocks.__init__, made))
    mine = Trained(runs, executor)
    assert made
    monkeypatch.setattr(trace, "_cache", OrderedDict())
    monkeypatch.setattr(trace, "run_in_blocks", lambda graph: None)
    plain = Trained(runs, executor)
    assert all(mine.same_bits(plain, run.run_id) for run in runs)


def _counting(original, made):
    def init(self, *args):
        made.append(self)
        original(self, *args)

    return init


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("operation", sorted(ELEMENTWISE, key=str), ids=str)
def test_an_operation_has_the_same_bits_wherever_an_element_lies(operation: OpOverload, dtype):
    torch.manual_seed(0)
    kinds = [str(one.type) for one in operation._schema.arguments if one.default_value is None]
    kinds = [kind for kind in kinds if kind in ("Tensor", "number", "Scalar", "float", "int")]
    if kinds.count("Tensor") == 0 or "out" in operation._overloadname:
        pytest.skip("it takes no tensor")
    given = [torch.rand(1000, dtype=dtype) + 0.1 if kind == "Tensor" else 0.7 for kind in kinds]

    def run(part):
        return operation(*(one[part].clone() if isinstance(one, torch.Tensor) else one for one in given))

    whole = run(slice(None))
    for size in (1, 3, 17, 64, 333):
        pieces = [run(slice(start, start + size)) for start in range(0, 1000, size)]
        assert torch.equal(torch.cat(pieces), whole)

"""Turns a function over modules into a flat list of tensor operations.

Running a net through `vmap`, `functional_call` and the autograd engine takes milliseconds of Python per step,
as long as the arithmetic of a small stack. So a step runs once under a tracer, which records its tensor
operations. From then on the recorded operations are called one after the other, with the same bits.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from normbench.engine.blocks import run_in_blocks
from normbench.engine.graphs import bind, origin, shape_of, writes
from normbench.engine.record import recorded
from normbench.nn.torch_private import RESHAPES, SAME, aten


@dataclass(frozen=True)
class Program:
    """A traced function. It takes flat tensors and returns tensors by key, as the function did.

    Attributes:
        run: the recorded operations as a function, which returns the tensors alone.
        keys: of the returned tensors, in their order.
    """

    run: Callable[..., Sequence[Tensor]]
    keys: tuple[Any, ...]

    def __call__(self, *tensors: Tensor) -> dict[Any, Tensor]:
        """Run the operations on these inputs."""
        return dict(zip(self.keys, self.run(*tensors), strict=True))


KEPT = 64  # traced functions; each is a few hundred lines of generated code
_cache: OrderedDict[Hashable, Program] = OrderedDict()


def traced(
    key: Hashable, function: Callable[..., Mapping[Any, Tensor]], example: Sequence[Tensor]
) -> Program:
    """Return the function as a list of operations, traced on copies of the example inputs.

    The key must identify everything that the trace depends on: net, shapes, dtype, mode, number of runs.
    """
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    graph, keys = operations_of(function, example)
    # torch's recurrent kernel keeps what its backward pass needs only while gradients are enabled
    kernel = any(node.target is aten.mkldnn_rnn_layer.default for node in graph.graph.nodes)
    if example and example[0].device.type == "cpu":
        run_in_blocks(graph)
    bind(graph.graph)
    graph.recompile()
    _cache[key] = Program(torch.enable_grad()(graph.forward) if kernel else graph.forward, keys)
    if len(_cache) > KEPT:
        _cache.popitem(last=False)
    return _cache[key]


def operations_of(
    function: Callable[..., Mapping[Any, Tensor]], example: Sequence[Tensor]
) -> tuple[GraphModule, tuple[Any, ...]]:
    """Return the operations that a function runs on copies of the inputs, and the keys of its results."""
    copies = [tensor.clone() for tensor in example]  # tracing runs the function, which may change its inputs
    keys: tuple[Any, ...] = ()

    def values(*tensors: Tensor) -> list[Tensor]:
        nonlocal keys
        outputs = function(*tensors)
        keys = tuple(outputs)
        return list(outputs.values())

    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vmap warns that it loops over an operation; only this once
        graph = recorded(values, *copies)
    _simplify(graph)
    _fuse_updates(graph)
    return graph, keys


def _simplify(graph: GraphModule) -> None:
    """Remove operations that return their input unchanged. Autograd and vmap leave about 100 of them."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and _is_noop(node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


def _fuse_updates(graph: GraphModule) -> None:
    """Update a weight in the matrix product that computes its gradient.

    w <- w - lr (a @ b), with lr (R, 1, 1), becomes w <- w - (lr a) @ b. This neither writes nor reads the
    gradient, which is the largest tensor of a step. If the gradient is c v + a @ b (weight normalization),
    w <- w - (lr c) v comes first. An update stays as it is if something else uses the gradient, or if one of
    the factors is overwritten before the update.
    """
    order = {node: place for place, node in enumerate(graph.graph.nodes)}
    written = [(order[node], origin(node)) for node in order if writes(node)]
    for update in list(order):
        if update.target is not aten.addcmul_.default or update.kwargs != {"value": -1}:
            continue
        weight, gradient, lr = cast("tuple[Node, Node, Node]", update.args)
        terms = _terms(gradient)
        if terms is None:
            continue
        replaced = [node for node, _ in terms]
        factors = {origin(factor) for _, pair in terms for factor in pair}
        began = min(order[node] for node in replaced)
        if any(began < place < order[update] and origin in factors for place, origin in written):
            continue
        fused = weight
        with graph.graph.inserting_before(update):
            for node, (one, other) in terms:
                scaled = graph.graph.call_function(aten.mul.Tensor, (one, lr))
                scaled.meta["shape"] = shape_of(one)
                if node.target is aten.mul.Tensor:
                    args: tuple[Any, ...] = (aten.addcmul_.default, (fused, other, scaled), {"value": -1})
                else:
                    args = (aten.baddbmm_.default, (fused, scaled, other), {"alpha": -1})
                fused = graph.graph.call_function(*args)
                fused.meta["shape"] = shape_of(weight)
        update.replace_all_uses_with(fused)
        graph.graph.erase_node(update)
        for node in reversed(replaced):
            graph.graph.erase_node(node)


def _terms(gradient: Node) -> list[tuple[Node, tuple[Node, Node]]] | None:
    """Return the operations whose results add up to a gradient, each with its two factors.

    Return None if the gradient is neither a matrix product nor the sum of one and a scaled tensor, or if
    something else uses it. The first factor of each operation is the one to multiply by the learning rate.
    """
    if gradient.target not in (aten.bmm.default, aten.baddbmm.default):
        return None
    if len(gradient.users) > 1 or gradient.kwargs:
        return None
    *start, a, b = cast("tuple[Node, ...]", gradient.args)
    terms = [(gradient, (a, b))]
    for along in start:
        if along.target is not aten.mul.Tensor or len(along.users) > 1:
            return None
        v, c = along.args
        if not (isinstance(v, Node) and isinstance(c, Node)):
            return None
        if (shape := shape_of(c)) is None or shape[-1] != 1 or shape_of(v) != shape_of(along):
            return None
        terms.insert(0, (along, (c, v)))
    return terms


def _is_noop(node: Node) -> bool:
    """Return whether an operation returns its input unchanged."""
    if node.target in SAME:
        return True
    if node.target not in RESHAPES:
        return False
    before, after = shape_of(node.args[0]), shape_of(node)
    if before is None or before != after:
        return False
    if node.target is aten.permute.default:
        return list(node.args[1]) == list(range(len(after)))  # type: ignore[arg-type]
    return True

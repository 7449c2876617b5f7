"""From a function over modules to a flat list of tensor operations.

Running a net through `vmap`, `functional_call` and the autograd engine costs milliseconds of Python for each
step, as much as the arithmetic of a small stack. So the step is run once under a tracer, which writes down
the tensor operations that it makes; from then on these are called one after the other, with the same bits.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

FlatFunction = Callable[..., Sequence[Tensor]]

_KEPT = 64  # traced functions; each is a few hundred lines of generated code
_cache: OrderedDict[Hashable, FlatFunction] = OrderedDict()


def traced(key: Hashable, function: FlatFunction, example: Sequence[Tensor]) -> FlatFunction:
    """Return the function as a list of operations, traced on copies of the example inputs.

    `key` must tell apart all that the trace depends on: the net, shapes, dtype, mode, number of runs.
    """
    if key in _cache:
        _cache.move_to_end(key)
        return _cache[key]
    copies = [
        tensor.clone() for tensor in example
    ]  # tracing runs the function, which may write to its inputs
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tracer's notes on its own internals are not for our users
        graph = make_fx(function)(*copies)
    _simplify(graph)
    # torch's recurrent kernels keep what their backward needs only where gradients are on; inputs need none
    _cache[key] = torch.enable_grad()(graph.forward)
    if len(_cache) > _KEPT:
        _cache.popitem(last=False)
    return _cache[key]


_aten = torch.ops.aten
_SAME = {_aten.alias.default, _aten.detach.default}
_RESHAPES = {
    _aten.permute.default,
    _aten.expand.default,
    _aten.view.default,
    _aten._unsafe_view.default,
    _aten.reshape.default,
}


def _simplify(graph: GraphModule) -> None:
    """Take out the operations that return their input as it is: autograd and vmap leave about 100 of them."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and _is_noop(node):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    for node in graph.graph.nodes:
        node.meta.clear()  # the tracer's notes would keep its tensors alive
    graph.recompile()


def _is_noop(node: Node) -> bool:
    if node.target in _SAME:
        return True
    if node.target not in _RESHAPES:
        return False
    before, after = _shape(node.args[0]), _shape(node)
    if before is None or before != after:
        return False
    if node.target is _aten.permute.default:
        return list(node.args[1]) == list(range(len(after)))  # type: ignore[arg-type]
    return True


def _shape(node: Any) -> tuple[int, ...] | None:
    meta = node.meta.get("tensor_meta")
    if meta is not None:
        return tuple(meta.shape)
    value = node.meta.get("val")
    return None if value is None else tuple(value.shape)

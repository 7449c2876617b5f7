"""What the passes over recorded operations ask of a graph: shapes, memory, and what writes to it."""

from __future__ import annotations

import operator
from typing import Any, cast

from torch.fx import Graph, Node

from normbench.nn.torch_private import DIRECT, MAYBE_VIEWS, OpOverload


def shape_of(node: Any) -> tuple[int, ...] | None:
    """Return the shape of the result, or None if it is no tensor."""
    shape: tuple[int, ...] | None = node.meta.get("shape")
    return shape


def writes(node: Node) -> bool:
    """Return whether an operation writes to its first argument."""
    return isinstance(node.target, OpOverload) and node.target._schema.name.endswith("_")


def origin(node: Node) -> Node:
    """Return the operation or input that allocated the memory of this tensor, which may be a view."""
    while _is_view(node):
        node = cast("Node", node.args[0])
    return node


def _is_view(node: Node) -> bool:
    """Return whether the memory of a result, or of one of its parts, is that of the first argument."""
    if node.target is operator.getitem:
        return True
    if not isinstance(node.target, OpOverload):
        return False
    returns = node.target._schema.returns
    return node.target in MAYBE_VIEWS or bool(returns and returns[0].alias_info is not None)


def bind(graph: Graph) -> None:
    """Replace operations by torch's functions of the same name, which are faster to call."""
    for node in graph.nodes:
        if node.op == "call_function":
            node.target = DIRECT.get(node.target, node.target)

"""Divides recorded operations into regions: what a compiler may fuse, between what it leaves to torch.

Torch multiplies matrices, convolves and gathers. Element-wise operations and reductions between two of these
are a region. A region is a function for any number of lanes. To see which numbers in a graph are multiples
of the number of lanes, the graph is recorded twice, the second time with one lane more.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node

from normbench.engine.graphs import origin, shape_of, writes
from normbench.nn.inductor import Lanes, Number
from normbench.nn.torch_private import MAYBE_VIEWS, OpOverload, aten, tree_map

_FUSED = {torch.Tag.pointwise, getattr(torch.Tag, "reduction", torch.Tag.pointwise)}


class IndivisibleError(RuntimeError):
    """The operations, or those of a region, do not serve any number of lanes; the message says why."""


@dataclass(frozen=True)
class Region:
    """Operations of one region.

    Attributes:
        graph: the operations, as a function for any number of lanes.
        shapes: of its inputs, for any number of lanes.
        results: shapes of its outputs, likewise.
    """

    graph: GraphModule
    shapes: tuple[tuple[Number, ...], ...]
    results: tuple[tuple[Number, ...], ...]


def divide(
    graph: GraphModule, wider: GraphModule, lanes: int, made: Callable[[Region], nn.Module]
) -> GraphModule:
    """Return the operations with each region as the call of one module.

    Args:
        graph: recorded with this number of lanes.
        wider: the same, recorded with one lane more.
        lanes: their number.
        made: returns the module that runs a region.

    Raises:
        IndivisibleError: other operations run for another number of lanes.
    """
    return _Division(graph, wider, lanes).divided(made)


def _is_view(node: Node) -> bool:
    """Return whether an operation returns its first argument in another shape, never a copy."""
    if not isinstance(node.target, OpOverload):
        return False
    returns = node.target._schema.returns
    alias = returns[0].alias_info if len(returns) == 1 else None
    if node.target in MAYBE_VIEWS:
        return node.target is aten._unsafe_view.default  # the others may copy
    return alias is not None and not alias.is_write and str(returns[0].type) == "Tensor"


class _Division:
    """Divides one graph. A stage is a region and then the operations of torch that need its results."""

    def __init__(self, graph: GraphModule, wider: GraphModule, lanes: int) -> None:
        self.source, self.lanes = graph, lanes
        self.nodes: list[Node] = list(graph.graph.nodes)
        others: list[Node] = list(wider.graph.nodes)
        if [str(node.target) for node in self.nodes] != [str(node.target) for node in others]:
            raise IndivisibleError("other operations run for another number of lanes")
        self.twins = dict(zip(self.nodes, others, strict=True))
        if odd := [node for node in self.nodes if _writes_elsewhere(node)]:
            raise IndivisibleError(f"{odd[0]} writes to another argument than its first")
        self.fused = {node for node in self.nodes if self._is_fused(node)}
        self.stages = self._stages()

    def shape(self, node: Node) -> tuple[Number, ...]:
        """Return the shape of a result for any number of lanes."""
        one, other = shape_of(node), shape_of(self.twins[node])
        if one is None or other is None:
            raise IndivisibleError(f"{node} is no tensor")
        return tuple(map(self._general, one, other))

    def _general(self, one: int, other: int) -> Number:
        """Return a number for any number of lanes, from its values for `lanes` and one more."""
        if one == other:
            return one
        each = other - one
        if each * self.lanes != one:
            raise IndivisibleError(f"{one} and {other} are no multiples of the number of lanes")
        return Lanes(each)

    def _is_fused(self, node: Node) -> bool:
        """Return whether an operation belongs to a region.

        What reduces all of a run to one number does not: Inductor may reduce 16 lanes at once and the rest one
        by one, in another order.
        """
        if not isinstance(node.target, OpOverload) or not _FUSED & set(node.target.tags):
            return False
        returns = node.target._schema.returns
        if len(returns) != 1 or str(returns[0].type) != "Tensor" or _is_view(node):
            return False
        if shape_of(node) == shape_of(self.twins[node]):
            return False  # one result for all lanes
        size = prod(shape_of(node) or ())
        reduces = any(prod(shape_of(one) or ()) > size for one in node.all_input_nodes)
        return not (reduces and size == self.lanes)

    def _stages(self) -> dict[Node, int]:
        """Return the stage of each operation: the first after all that it needs, in the order of writes."""
        stages: dict[Node, int] = {}
        done: dict[Node, int] = {}  # by what allocated memory: the stage from which its last write is seen
        seen: dict[Node, int] = {}  # the stage from which it may be written
        for node in self.nodes:
            if node.op != "call_function":
                stages[node] = 0
                continue
            inputs = node.all_input_nodes
            written = origin(cast("Node", node.args[0])) if writes(node) else None
            earliest = [self._ready(one, stages) for one in inputs]
            earliest += [done.get(origin(one), 0) for one in inputs]
            stage = max([*earliest, seen.get(written, 0) if written else 0])
            stages[node] = stages[inputs[0]] if node.target is operator.getitem else stage
            after = self._ready(node, stages)
            for one in inputs:
                seen[origin(one)] = max(seen.get(origin(one), 0), after)
            if written is not None:
                done[written] = max(done.get(written, 0), after)
        return stages

    def _ready(self, node: Node, stages: dict[Node, int]) -> int:
        """Return the first stage whose region can use a result."""
        if node.op != "call_function":
            return 0
        if _is_view(node):
            return self._ready(cast("Node", node.args[0]), stages)
        return stages[node] + (0 if node in self.fused else 1)

    def divided(self, made: Callable[[Region], nn.Module]) -> GraphModule:
        """Return the graph of regions and of torch's operations."""
        graph, modules = Graph(), nn.Module()
        for name, constant in self.source.named_buffers():
            modules.register_buffer(name, constant)
        copies: dict[Node, Node] = {}
        for node in self.nodes:
            if node.op in ("placeholder", "get_attr"):
                copies[node] = graph.node_copy(node)

        def copied(node: Node) -> Node:
            """Return a result in the new graph. Views are made there."""
            if node not in copies:
                if not _is_view(node):
                    raise IndivisibleError(f"{node} is needed before it is there")
                copies[node] = graph.node_copy(node, copied)
            return copies[node]

        for stage in range(max(self.stages.values()) + 1):
            of_stage = [
                node for node in self.nodes if node.op == "call_function" and self.stages[node] == stage
            ]
            left = [node for node in of_stage if node not in self.fused and not _is_view(node)]
            fused = [node for node in of_stage if node in self.fused]
            try:
                region, given, results = self._region(fused)
            except IndivisibleError:  # torch runs these, too
                region, left = None, [*fused, *left]
            if region is not None and fused:
                name = f"region_{stage}"
                modules.add_module(name, made(region))
                call = graph.call_module(name, tuple(map(copied, given)))
                for place, node in enumerate(results):
                    copies[node] = graph.call_function(operator.getitem, (call, place))
                for node in fused:  # an operation in place returns what it wrote to
                    if (base := _base(node)) is not node and base in copies:
                        copies[node] = copies[base]
            for node in left:
                copies[node] = graph.node_copy(node, copied)
        output = next(node for node in self.nodes if node.op == "output")
        graph.output(tree_map(lambda one: copied(one) if isinstance(one, Node) else one, output.args[0]))
        return GraphModule(modules, graph)

    def _region(self, fused: Sequence[Node]) -> tuple[Region, list[Node], list[Node]]:
        """Return a region, the results that it takes, and those that it returns."""
        inside = set(fused)
        given: dict[Node, None] = {}

        def find(node: Node) -> None:
            if _is_view(node):
                for one in node.all_input_nodes:
                    find(one)
            elif (base := _base(node)) not in inside and not _is_view(base):
                given[base] = None

        for node in fused:
            for one in node.all_input_nodes:
                find(one)
        results: dict[Node, None] = {}
        for node in fused:
            if self._is_needed(node, inside) and (base := _base(node)) in inside:
                results[base] = None
        graph = Graph()
        inner = {one: graph.placeholder(f"given_{place}") for place, one in enumerate(given)}
        placeholders = dict(inner)
        count = self._count(graph, inner)

        def copied(node: Node) -> Node:
            """Return a result in the graph of the region; what was changed in place has its last value."""
            if (base := _base(node)) not in inner:
                inner[base] = made(base, cast("Any", base.target))
            return inner[base]

        def made(node: Node, target: OpOverload) -> Node:
            twin = self.twins[node]
            args = self._arguments(node.args, twin.args, copied, count)
            return graph.call_function(target, args, self._arguments(node.kwargs, twin.kwargs, copied, count))

        for node in fused:
            base = _base(node)
            if base is node:
                copied(node)
                continue
            if _is_view(base):
                raise IndivisibleError(f"{node} writes to a view")
            inner[base] = made(node, _pure(cast("OpOverload", node.target)))
            for view in [one for one in inner if _is_view(one) and origin(one) is origin(base)]:
                del inner[view]
        for one, before in placeholders.items():
            if inner[one] is not before:
                graph.call_function(aten.copy_.default, (before, inner[one]))
        graph.output([inner[node] for node in results])
        shapes, of_results = tuple(map(self.shape, given)), tuple(map(self.shape, results))
        return Region(GraphModule(nn.Module(), graph), shapes, of_results), list(given), list(results)

    def _is_needed(self, node: Node, inside: set[Node]) -> bool:
        """Return whether a region must return a result.

        That is so if something outside needs it. It is also better if a larger operation of the region does:
        a result that is not returned may be computed anew for each element.
        """
        size, users = prod(shape_of(node) or ()), list(node.users)
        while users:
            user = users.pop()
            if _is_view(user):
                users += user.users
            elif user not in inside or prod(shape_of(user) or ()) > size:
                return True
        return False

    def _count(self, graph: Graph, given: dict[Node, Node]) -> Callable[[int], Node]:
        """Return a function that gives a multiple of the number of lanes in the graph of a region."""
        inputs, found = dict(given), list[Node]()

        def count(each: int) -> Node:
            if not found:
                for one, placeholder in inputs.items():
                    if Lanes(1) in (shape := self.shape(one)):
                        axis = shape.index(Lanes(1))
                        found.append(graph.call_function(aten.sym_size.int, (placeholder, axis)))
                        break
                else:
                    raise IndivisibleError("no input of a region has an axis of lanes")
            return found[0] if each == 1 else graph.call_function(operator.mul, (found[0], each))

        return count

    def _arguments(
        self, one: Any, other: Any, copied: Callable[[Node], Node], count: Callable[[int], Node]
    ) -> Any:
        """Return the arguments of an operation for any number of lanes."""
        if isinstance(one, Node):
            return copied(one)
        if isinstance(one, (tuple, list)):
            pairs = zip(one, other, strict=True)
            return type(one)(self._arguments(a, b, copied, count) for a, b in pairs)
        if isinstance(one, dict):
            return {name: self._arguments(one[name], other[name], copied, count) for name in one}
        if isinstance(one, int) and not isinstance(one, bool):
            number = self._general(one, other)
            return count(number.each) if isinstance(number, Lanes) else number
        if one != other:
            raise IndivisibleError(f"{one} is {other} for another number of lanes")
        return one


def _pure(target: OpOverload) -> OpOverload:
    """Return the operation that gives the result of one in place as a new tensor."""
    name = target._schema.name.removeprefix("aten::").removesuffix("_")
    found = getattr(getattr(aten, name, None), target._overloadname, None)
    if found is None:
        raise IndivisibleError(f"{target} has no form that returns a new tensor")
    return cast("OpOverload", found)


def _writes_elsewhere(node: Node) -> bool:
    """Return whether an operation changes what `writes` does not know of."""
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable and not writes(node)


def _base(node: Node) -> Node:
    """Return the result, input or view that a chain of operations in place writes to."""
    while node.op == "call_function" and writes(node):
        node = cast("Node", node.args[0])
    return node

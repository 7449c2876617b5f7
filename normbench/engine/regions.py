"""Divides recorded operations into regions: what a compiler may fuse, between what it leaves to torch.

Torch multiplies matrices, convolves and gathers. Element-wise operations and reductions between two of these
are a region. A region is a function for any number of lanes. To see which numbers in a graph are multiples
of the number of lanes, the operations are recorded for two and for three lanes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node

from normbench.engine.graphs import origin, shape_of, writes
from normbench.nn.inductor import Lanes, Number
from normbench.nn.torch_private import MAYBE_VIEWS, OpOverload, aten, tree_map

LANES = 2  # of the first recording; the second has one more
_FUSED = {torch.Tag.pointwise, getattr(torch.Tag, "reduction", torch.Tag.pointwise)}


class IndivisibleError(RuntimeError):
    """The operations, or those of a region, do not serve any number of lanes; the message says why."""


@dataclass(frozen=True)
class Region:
    """Operations that a compiler may fuse.

    Attributes:
        graph: the operations, as a function for any number of lanes.
        shapes: of its inputs, for any number of lanes.
        results: shapes of its outputs, likewise.
    """

    graph: GraphModule
    shapes: tuple[tuple[Number, ...], ...]
    results: tuple[tuple[Number, ...], ...]


@dataclass(frozen=True)
class _Stage:
    """A region, if there is one, and then operations of torch.

    Attributes:
        name: of the module that runs the region.
        given: what the region takes.
        results: what it returns.
        fused: its operations.
        left: the operations of torch.
    """

    name: str
    given: Sequence[Node]
    results: Sequence[Node]
    fused: Sequence[Node]
    left: Sequence[Node]


class Division:
    """Operations with the call of a module for each region, for any number of lanes.

    What is divided, and where, follows from the shapes for any number of lanes. So it is the same for all.

    Args:
        graph: recorded with LANES lanes.
        wider: the same, recorded with one lane more.
        made: returns the module that runs a region.

    Raises:
        IndivisibleError: the operations are others for another number of lanes.
    """

    def __init__(self, graph: GraphModule, wider: GraphModule, made: Callable[[Region], nn.Module]) -> None:
        self._nodes: list[Node] = list(graph.graph.nodes)
        others: list[Node] = list(wider.graph.nodes)
        if [str(node.target) for node in self._nodes] != [str(node.target) for node in others]:
            raise IndivisibleError("other operations run for another number of lanes")
        self._twins = dict(zip(self._nodes, others, strict=True))
        if odd := [node for node in self._nodes if _writes_elsewhere(node)]:
            raise IndivisibleError(f"{odd[0]} writes to another argument than its first")
        self._fused = {node for node in self._nodes if self._is_fused(node)}
        self._modules = nn.Module()
        for name, constant in graph.named_buffers():
            self._modules.register_buffer(name, constant)
        stages = self._places()
        self._stages = [
            self._stage(f"region_{stage}", [node for node in self._nodes if stages.get(node) == stage], made)
            for stage in range(max(stages.values(), default=-1) + 1)
        ]

    def program(self, lanes: int) -> GraphModule:
        """Return the operations and the calls of the regions for this number of lanes.

        Raises:
            IndivisibleError: a number depends on the number of lanes in another way than as a multiple.
        """
        graph = Graph()
        copies = {
            node: graph.node_copy(node) for node in self._nodes if node.op in ("placeholder", "get_attr")
        }

        def copied(node: Node) -> Node:
            """Return a result in the new graph. Views are made there."""
            if node not in copies:
                if not _is_view(node):
                    raise IndivisibleError(f"{node} is needed before it is there")
                copies[node] = made(node)
            return copies[node]

        def made(node: Node) -> Node:
            args, kwargs = self._arguments(node, copied, lambda each: each * lanes)
            return graph.call_function(cast("Any", node.target), args, kwargs)

        for stage in self._stages:
            if stage.fused:
                call = graph.call_module(stage.name, tuple(map(copied, stage.given)))
                for place, node in enumerate(stage.results):
                    copies[node] = graph.call_function(operator.getitem, (call, place))
            for node in stage.fused:  # an operation in place returns what it wrote to
                if (base := _base(node)) is not node and base in copies:
                    copies[node] = copies[base]
            for node in stage.left:
                copies[node] = made(node)
        (results,) = next(node.args for node in self._nodes if node.op == "output")
        graph.output(tree_map(lambda one: copied(one) if isinstance(one, Node) else one, results))
        return GraphModule(self._modules, graph)

    # What belongs together

    def _is_fused(self, node: Node) -> bool:
        """Return whether an operation belongs to a region.

        What reduces all of a run to one number does not: Inductor may reduce 16 lanes at once, and those that
        are left one by one in another order.
        """
        if not isinstance(node.target, OpOverload) or not _FUSED & set(node.target.tags):
            return False
        returns = node.target._schema.returns
        if len(returns) != 1 or str(returns[0].type) != "Tensor" or _is_view(node):
            return False
        inputs = [one for one in node.all_input_nodes if self._serves_lanes(one)]
        if not self._serves_lanes(node) or not inputs:
            return False  # one result for all lanes
        reduces = any(self._each(one) > self._each(node) for one in inputs)
        return not (reduces and self._each(node) == 1)

    def _places(self) -> dict[Node, int]:
        """Return the stage of each operation: the first after all that it needs, in the order of writes."""
        stages: dict[Node, int] = {}
        done: dict[Node, int] = {}  # by what allocated memory: the stage from which its last write is seen
        seen: dict[Node, int] = {}  # the stage from which it may be written

        def ready(node: Node) -> int:
            """Return the first stage whose region can use a result."""
            if node.op != "call_function":
                return 0
            if _is_view(node):
                return ready(cast("Node", node.args[0]))
            return stages[node] + (0 if node in self._fused else 1)

        for node in self._nodes:
            if node.op != "call_function":
                continue
            inputs = node.all_input_nodes
            written = origin(cast("Node", node.args[0])) if writes(node) else None
            earliest = [*map(ready, inputs), *(done.get(origin(one), 0) for one in inputs)]
            if written is not None:
                earliest.append(seen.get(written, 0))
            stages[node] = max(earliest, default=0)
            if node.target is operator.getitem:
                stages[node] = stages[inputs[0]]
            after = ready(node)
            for one in inputs:
                seen[origin(one)] = max(seen.get(origin(one), 0), after)
            if written is not None:
                done[written] = max(done.get(written, 0), after)
        return stages

    def _stage(self, name: str, nodes: Sequence[Node], made: Callable[[Region], nn.Module]) -> _Stage:
        """Return a stage with these operations; torch runs those of a region that is none."""
        fused = [node for node in nodes if node in self._fused]
        left = [node for node in nodes if node not in self._fused and not _is_view(node)]
        try:
            region, given, results = self._region(fused)
        except IndivisibleError:
            return _Stage(name, (), (), (), [*fused, *left])
        if fused:
            self._modules.add_module(name, made(region))
        return _Stage(name, given, results, fused, left)

    # A region

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
        graph = self._graph(fused, list(given), list(results))
        shapes, of_results = tuple(map(self._shape, given)), tuple(map(self._shape, results))
        return Region(GraphModule(nn.Module(), graph), shapes, of_results), list(given), list(results)

    def _graph(self, fused: Sequence[Node], given: Sequence[Node], results: Sequence[Node]) -> Graph:
        """Return the operations of a region, without those in place: at the end, it copies to its inputs."""
        graph = Graph()
        inner = {one: graph.placeholder(f"given_{place}") for place, one in enumerate(given)}
        placeholders = dict(inner)
        count = self._count(graph, placeholders)

        def copied(node: Node) -> Node:
            """Return a result in the graph of the region; what was changed in place has its last value."""
            if (base := _base(node)) not in inner:
                inner[base] = made(base, cast("OpOverload", base.target))
            return inner[base]

        def made(node: Node, target: OpOverload) -> Node:
            return graph.call_function(target, *self._arguments(node, copied, count))

        for node in fused:
            if (base := _base(node)) is node:
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
        return graph

    def _is_needed(self, node: Node, inside: set[Node]) -> bool:
        """Return whether a region must return a result.

        That is so if something outside needs it. It is also better if a larger operation of the region does:
        a result that is not returned may be computed again for each element.
        """
        size, users = self._each(node), list(node.users)
        while users:
            user = users.pop()
            if _is_view(user):
                users += user.users
            elif user not in inside or self._each(user) > size:
                return True
        return False

    # Numbers

    def _shape(self, node: Node) -> tuple[Number, ...]:
        """Return the shape of a result for any number of lanes."""
        one, other = shape_of(node), shape_of(self._twins[node])
        if one is None or other is None:
            raise IndivisibleError(f"{node} is no tensor")
        return tuple(map(_general, one, other))

    def _serves_lanes(self, node: Node) -> bool:
        return shape_of(node) != shape_of(self._twins[node])

    def _each(self, node: Node) -> int:
        """Return how many numbers of a result each lane has."""
        return prod(number.each if isinstance(number, Lanes) else number for number in self._shape(node))

    def _count(self, graph: Graph, given: Mapping[Node, Node]) -> Callable[[int], Node]:
        """Return a function that gives a multiple of the number of lanes in the graph of a region."""
        found: list[Node] = []

        def count(each: int) -> Node:
            if not found:
                axes = [
                    (placeholder, shape.index(Lanes(1)))
                    for one, placeholder in given.items()
                    if Lanes(1) in (shape := self._shape(one))
                ]
                if not axes:
                    raise IndivisibleError("no input of a region has an axis of lanes")
                found.append(graph.call_function(aten.sym_size.int, axes[0]))
            return found[0] if each == 1 else graph.call_function(operator.mul, (found[0], each))

        return count

    def _arguments(
        self, node: Node, copied: Callable[[Node], Node], count: Callable[[int], Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of an operation for any number of lanes.

        Args:
            node: the operation.
            copied: returns a result as the new operation takes it.
            count: returns a multiple of the number of lanes.

        Raises:
            IndivisibleError: an argument is no such multiple, and not the same for all numbers either.
        """

        def general(one: Any, other: Any) -> Any:
            if isinstance(one, Node):
                return copied(one)
            if isinstance(one, (tuple, list)):
                return type(one)(general(a, b) for a, b in zip(one, other, strict=True))
            if isinstance(one, dict):
                return {name: general(one[name], other[name]) for name in one}
            if isinstance(one, int) and not isinstance(one, bool):
                number = _general(one, other)
                return count(number.each) if isinstance(number, Lanes) else number
            if one != other and one == one:  # NaN is not equal to itself
                raise IndivisibleError(f"{one} is {other} for another number of lanes")
            return one

        twin = self._twins[node]
        return general(tuple(node.args), tuple(twin.args)), general(dict(node.kwargs), dict(twin.kwargs))


def _general(one: int, other: int) -> Number:
    """Return a number for any number of lanes, from its values for LANES and for one more."""
    if one == other:
        return one
    if (other - one) * LANES != one:
        raise IndivisibleError(f"{one} and {other} are no multiples of the number of lanes")
    return Lanes(other - one)


def _is_view(node: Node) -> bool:
    """Return whether an operation returns its first argument in another shape, never a copy."""
    if not isinstance(node.target, OpOverload):
        return False
    if node.target in MAYBE_VIEWS:
        return node.target is aten._unsafe_view.default  # the others may copy
    returns = node.target._schema.returns
    alias = returns[0].alias_info if len(returns) == 1 else None
    return alias is not None and not alias.is_write and str(returns[0].type) == "Tensor"


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

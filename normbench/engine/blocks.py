"""Runs chains of element-wise operations block by block, so that a block stays in the processor's cache.

The update of Adam is ten element-wise operations on tensors as large as the weights. One after the other,
each reads and writes memory, and takes as long as that. On blocks that fit into the cache, memory is read and
written once for all of them. Each element sees the same operations in the same order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from math import gcd, prod
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from normbench.engine.graphs import bind, origin, shape_of, writes
from normbench.nn.torch_private import ELEMENTWISE, OpOverload

BLOCK = 1 << 16  # elements of a block for each thread: six tensors of 256 KiB fit into a cache of 2 MiB
LEAST = 6  # operations; the three of SGD with momentum are faster on whole tensors (docs/benchmarks.md)
_ALIGNED = 64  # elements; a block of a multiple of it ends where the vector registers end

Shape = tuple[int, ...]


class Blocks(nn.Module):
    """A chain of operations, as a function of the tensors that it takes; it changes some of them in place.

    Args:
        operations: the chain, as a function of these tensors or of the same block of each.
        shape: of the results; the tensors can be expanded to it.
    """

    def __init__(self, operations: Callable[..., Any], shape: Shape) -> None:
        super().__init__()
        self._operations, self._shape = operations, shape

    def forward(self, *tensors: Tensor) -> None:
        """Run the chain on one block after the other."""
        for blocks in _blocks(tensors, self._shape, BLOCK * torch.get_num_threads()):
            self._operations(*blocks)


def _blocks(tensors: Sequence[Tensor], shape: Shape, most: int) -> Iterator[Sequence[Tensor]]:
    """Yield the blocks of the tensors, with about `most` elements of the shape each."""
    if prod(shape) <= most:
        yield tensors
        return
    row = prod(shape[1:])
    if row > most:
        for rows in zip(*(_rows(tensor, shape) for tensor in tensors), strict=False):
            yield from _blocks(rows, shape[1:], most)
        return
    aligned = _ALIGNED // gcd(row, _ALIGNED)
    size = max(1, most // row // aligned) * aligned
    yield from zip(*(_split(tensor, shape, size) for tensor in tensors), strict=False)


def _rows(tensor: Tensor, shape: Shape) -> Iterable[Tensor]:
    """Return the parts of a tensor along the first axis of a shape, endless ones if it lacks this axis."""
    if tensor.dim() < len(shape):
        return repeat(tensor)
    return tensor.unbind(0) if len(tensor) == shape[0] else repeat(tensor[0])


def _split(tensor: Tensor, shape: Shape, size: int) -> Iterable[Tensor]:
    """Like `_rows`, with `size` parts at once."""
    whole = tensor.dim() < len(shape) or len(tensor) != shape[0]
    return repeat(tensor) if whole else tensor.split(size)


def run_in_blocks(graph: GraphModule) -> None:
    """Replace each chain of element-wise operations on large tensors of one shape by a call of `Blocks`.

    The chain runs where its last operation was. Other operations that lie between its own neither need its
    results nor touch what it writes. A new tensor that is needed after the chain is no part of it: only a
    result that nothing else needs does not have to be written to memory.
    """
    chain = _Chain()
    for node in list(graph.graph.nodes):
        if not chain.takes(node) and not chain.lets_pass(node):
            _replace(graph, chain.nodes)
            chain = _Chain()
            chain.takes(node)


class _Chain:
    """Element-wise operations on tensors of one shape, in their order.

    Attributes:
        nodes: the operations so far.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._given: set[Node] = set()  # tensors that come from elsewhere
        self._written: dict[Node, Node] = {}  # those of them that change, by what allocated their memory

    def takes(self, node: Node) -> bool:
        """Add an operation to the end; return false if it does not go with the others."""
        if node.target not in ELEMENTWISE or not _is_large(node):
            return False
        if self.nodes and shape_of(node) != shape_of(self.nodes[0]):
            return False
        given = self._given | (set(node.all_input_nodes) - set(self.nodes))
        written = self._written
        if writes(node) and (target := cast("Node", node.args[0])) in given:
            written = {origin(target): target} | written
            given.add(target)
        # Another view of what changes may have its elements in other blocks.
        if any(written.get(origin(one), one) is not one for one in given):
            return False
        self.nodes.append(node)
        self._given, self._written = given, written
        return True

    def lets_pass(self, node: Node) -> bool:
        """Return whether an operation may run before the chain instead of within it."""
        if not self.nodes:
            return True
        if node.op != "call_function" or shape_of(node) is None or _is_large(node):
            return False
        if isinstance(node.target, OpOverload) and node.target._schema.is_mutable:
            return False
        inputs = node.all_input_nodes
        return not any(one in self.nodes or origin(one) in self._written for one in inputs)


def _is_large(node: Node) -> bool:
    """Return whether the result has more than one block."""
    return prod(shape_of(node) or ()) > BLOCK


def _replace(graph: GraphModule, nodes: Sequence[Node]) -> None:
    """Replace operations by a call of `Blocks`; those whose results are needed elsewhere stay as they are."""
    bases: dict[Node, Node] = {}  # whose memory each operation writes to
    for node in nodes:
        target = cast("Node", node.args[0]) if writes(node) else node
        bases[node] = bases.get(target, target)
    for place, node in enumerate(nodes):
        if bases[node] in bases and not bases.keys() >= node.users.keys():
            _replace(graph, nodes[:place])
            _replace(graph, nodes[place + 1 :])
            return
    if len(nodes) < LEAST:
        return
    given = list(dict.fromkeys(one for node in nodes for one in node.all_input_nodes if one not in bases))
    part = Graph()
    inner = {one: part.placeholder(f"given_{place}") for place, one in enumerate(given)}
    for node in nodes:
        inner[node] = part.node_copy(node, inner.__getitem__)
    part.output(())
    bind(part)
    name = f"blocks_{nodes[0].name}"
    shape = cast("Shape", shape_of(nodes[0]))
    graph.add_submodule(name, Blocks(GraphModule(nn.Module(), part).forward, shape))
    with graph.graph.inserting_after(nodes[-1]):
        graph.graph.call_module(name, tuple(given))
    for node in reversed(nodes):
        node.replace_all_uses_with(bases[node])
        graph.graph.erase_node(node)

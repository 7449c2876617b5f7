"""Records the tensor operations that a function runs, as a graph that can run again.

torch's own tracer, `make_fx`, gives the same graph. It takes four times as long, since it notes much about
each result that nothing here reads. It also loads torch's compiler: two seconds in each process.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

from normbench.nn.torch_private import OpOverload, TensorKeys, TorchDispatchMode, aten, tree_map

# Arguments that a graph can hold beside tensors.
_PLAIN = (
    int,
    float,
    complex,
    bool,
    str,
    type(None),
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)
_MASKS = (torch.bool, torch.uint8)


class NotRecordableError(RuntimeError):
    """The function does something that a list of tensor operations cannot repeat."""


def recorded(function: Callable[..., Sequence[Tensor]], *example: Tensor) -> GraphModule:
    """Return the tensor operations that a function runs on these inputs, without those that nothing needs.

    Each node has the shape of its result as `meta["shape"]`, if that is a tensor. The function runs once, on
    the inputs themselves. Tensors that it takes from elsewhere are constants of the graph.

    Args:
        function: takes tensors and returns tensors.
        example: the inputs.

    Raises:
        NotRecordableError: the function reads the values of a tensor, or runs what is no plain operation.
    """
    recorder = _Recorder(example)
    with recorder:
        outputs = function(*example)
    recorder.graph.output([recorder.node_of(output) for output in outputs])
    recorder.graph.eliminate_dead_code()
    return GraphModule(recorder.constants, recorder.graph)


class _Recorder(TorchDispatchMode):
    """Writes down each operation below autograd and vmap, as it runs.

    Attributes:
        graph: the operations so far.
        constants: the tensors that came from elsewhere, by the name of their node.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()
        self.graph = Graph()
        self.constants = nn.Module()
        self._nodes = TensorKeys()  # of each tensor that is alive; an operation in place replaces its node
        self._fixed: set[Node] = set()  # whose values do not depend on the inputs
        for place, tensor in enumerate(inputs):
            self._note(tensor, self.graph.placeholder(f"input_{place}"))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from loading its compiler, only to exclude this class from it."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and write it down."""
        if not isinstance(func, OpOverload):
            raise NotRecordableError(f"{func} is not a plain tensor operation")
        nodes, named = tree_map(self._argument, (args, kwargs or {}))
        given = _nodes_in((nodes, named))
        fixed = self._fixed.issuperset(given) and torch.Tag.nondeterministic_seeded not in func.tags
        if not fixed:
            _refuse_values(func, args)
        if (
            func is aten.lift_fresh.default
        ):  # of torch.tensor(...): an operation in place must spare the constant
            func = aten.lift_fresh_copy.default
        result = func(*args, **(kwargs or {}))
        node = self.graph.call_function(func, nodes, named)
        made = [node]
        if isinstance(result, Tensor):
            self._note(result, node)
        elif isinstance(result, (tuple, list)):
            for place, part in enumerate(result):
                if isinstance(part, Tensor):
                    made.append(self.graph.call_function(operator.getitem, (node, place)))
                    self._note(part, made[-1])
        if fixed:
            self._fixed.update(made)
        elif func._schema.is_mutable:
            self._fixed.difference_update(given)
        return result

    def node_of(self, tensor: Tensor) -> Node:
        """Return the node that made a tensor last; that of a tensor from elsewhere is a constant."""
        node = self._nodes.get(tensor)
        if node is None:
            name = f"constant_{len(self.constants._buffers)}"
            self.constants.register_buffer(name, tensor.detach())
            node = self.graph.get_attr(name)
            self._note(tensor, node)
            self._fixed.add(node)
        return cast("Node", node)

    def _note(self, tensor: Tensor, node: Node) -> None:
        self._nodes[tensor] = node
        node.meta["shape"] = tuple(tensor.shape)

    def _argument(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.node_of(value)
        if isinstance(value, _PLAIN):
            return value
        raise NotRecordableError(f"an operation takes a {type(value).__name__}, which cannot be recorded")


def _nodes_in(arguments: Any) -> set[Node]:
    found: set[Node] = set()
    tree_map(lambda value: found.add(value) if isinstance(value, Node) else None, arguments)
    return found


def _refuse_values(func: Any, args: tuple[Any, ...]) -> None:
    """Refuse an operation whose result, or whose shape of it, is another one for other inputs."""
    if torch.Tag.data_dependent_output in func.tags:
        raise NotRecordableError("it reads a number out of a tensor (`.item()`, `float(x)` or `if x`)")
    if torch.Tag.dynamic_output_shape not in func.tags:
        return
    if func is aten.index.Tensor and not any(i is not None and i.dtype in _MASKS for i in args[1]):
        return  # indices that are numbers give a shape that only depends on theirs
    raise NotRecordableError("the shape of a result depends on values (a boolean mask or `nonzero`)")

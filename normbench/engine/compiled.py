"""Runs all lanes of a stack as one program, whose element-wise parts a compiler has fused.

The compiled code of a region serves any number of lanes. It is held against the recorded operations, and
each of its lanes against the others, before it is used: the bits of a run must not depend on its stack, nor
on the number of threads. A region that fails runs by torch. So does all that is not a training step.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from normbench.engine.graphs import bind
from normbench.engine.regions import LANES, Division, IndivisibleError, Region
from normbench.engine.trace import KEPT, Program, operations_of
from normbench.engine.vectorized import Vectorized
from normbench.errors import NormbenchError
from normbench.nn.inductor import Compiled as Code
from normbench.nn.inductor import LaneError, Lanes, Like, Number, compile_graph

# Numbers of lanes to try: all remainders of vector registers of up to 16 numbers, and the largest stacks.
TRIED = (*range(2, 19), 31, 32, 33, 63, 64)
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-4}

_divisions: OrderedDict[Hashable, tuple[Division | None, tuple[Any, ...]]] = OrderedDict()
_code: dict[Hashable, Code | None] = {}  # by what a region does, None if it stays with torch


class Compiled(Vectorized):
    """Maps the net of one run by `vmap`, and compiles what torch would run one operation after the other."""

    name = "compiled"

    def _program(
        self,
        name: Hashable,
        function: Callable[..., Mapping[Any, Tensor]],
        tensors: Sequence[Tensor],
        stacked: Sequence[bool],
    ) -> Callable[..., Mapping[Any, Tensor]]:
        """Return the function as a trace; that of a training step has compiled regions."""
        if not (isinstance(name, tuple) and name[0] == "step"):
            return super()._program(name, function, tensors, stacked)
        two, three = (
            [
                torch.cat([tensor, tensor])[:lanes] if of_lanes else tensor
                for tensor, of_lanes in zip(tensors, stacked, strict=True)
            ]
            for lanes in (LANES, LANES + 1)
        )
        what = [part for part in name if not isinstance(part, torch.Size)]  # that of the batch has all lanes
        division, keys = _division(self._key(("divided", *what), two), function, two, three)
        if division is None:
            return super()._program(name, function, tensors, stacked)
        graph = division.program(len(tensors[0]))
        bind(graph.graph)
        graph.recompile()
        return Program(graph.forward, keys)


def _division(
    key: Hashable,
    function: Callable[..., Mapping[Any, Tensor]],
    two: Sequence[Tensor],
    three: Sequence[Tensor],
) -> tuple[Division | None, tuple[Any, ...]]:
    """Return the divided operations of a step, None if they cannot be divided, and the keys of its results.

    Args:
        key: everything that the operations depend on, except the number of lanes.
        function: whose operations they are.
        two: its inputs for LANES lanes.
        three: its inputs for one lane more.
    """
    if key not in _divisions:
        (graph, keys), (wider, _) = operations_of(function, two), operations_of(function, three)
        try:
            division = Division(graph, wider, _Runner)
            division.program(LANES)
        except IndivisibleError:
            division = None
        _divisions[key] = division, keys
        if len(_divisions) > KEPT:
            _divisions.popitem(last=False)
    _divisions.move_to_end(key)
    return _divisions[key]


class _Runner(nn.Module):
    """Runs a region; its code is made when the first tensors come."""

    def __init__(self, region: Region) -> None:
        super().__init__()
        self._region = region
        self._run: Code | None = None

    def forward(self, *tensors: Tensor) -> Sequence[Tensor]:
        """Return the results of the region."""
        if self._run is None:
            self._run = _code_of(self._region, tensors) or self._plain
        return self._run(tensors)

    def _plain(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        return cast("Sequence[Tensor]", self._region.graph(*tensors))


def _code_of(region: Region, tensors: Sequence[Tensor]) -> Code | None:
    """Return the compiled code of a region, None if torch runs it.

    Args:
        region: what to compile.
        tensors: its first inputs; they show how their elements lie in memory.

    Raises:
        NormbenchError: the compiler fails.
    """
    likes = [_like(shape, tensor) for shape, tensor in zip(region.shapes, tensors, strict=True)]
    known = [like for like in likes if like is not None]
    if len(known) < len(likes) or any(_axis(shape) is None for shape in region.results):
        return None
    key = (region.graph.code, *known)
    if key not in _code:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                code = compile_graph(region.graph, known)
        except LaneError:
            code = None
        except Exception as error:
            first = (str(error).strip() or "no message").splitlines()[0]
            raise NormbenchError(
                f"torch's compiler failed ({type(error).__name__}: {first}); train with --executor vectorized"
            ) from error
        _code[key] = code if code is not None and _holds(code, region, known, tensors) else None
    return _code[key]


def _like(shape: Sequence[Number], tensor: Tensor) -> Like | None:
    """Return the layout of a tensor for any number of lanes; None if it is not known, or has several axes.

    Args:
        shape: for any number of lanes.
        tensor: with this shape.
    """
    if _axis(shape) is None and any(isinstance(size, Lanes) for size in shape):
        return None
    strides: list[Number] = [0] * len(shape)
    each, lanes = 1, 1  # the stride of the next axis: `each`, or its product with the number of lanes
    count = 1
    for axis in sorted(range(len(shape)), key=lambda axis: (tensor.stride(axis), -axis)):
        if tensor.stride(axis) == 0 and tensor.shape[axis] > 1:
            continue
        if tensor.shape[axis] > 1 and tensor.stride(axis) != count:
            return None
        strides[axis] = Lanes(each) if lanes > 1 else each
        count *= tensor.shape[axis]
        size = shape[axis]
        if isinstance(size, Lanes):
            lanes = 2
        else:
            each *= size
    return Like(tuple(shape), tuple(strides), tensor.dtype)


def _axis(shape: Sequence[Number]) -> int | None:
    """Return the axis of the lanes, None if a shape has not exactly one."""
    axes = [axis for axis, size in enumerate(shape) if isinstance(size, Lanes)]
    return axes[0] if len(axes) == 1 and shape[axes[0]] == Lanes(1) else None


def _holds(code: Code, region: Region, likes: Sequence[Like], tensors: Sequence[Tensor]) -> bool:
    """Return whether compiled code computes what the region does, with equal bits in all lanes of any stack.

    All lanes get the numbers of the first, changed at random, so that no zero of the first step hides an
    operation. Then the results of all lanes are equal if they do not depend on a lane's place.

    Args:
        code: of the region.
        region: whose graph torch can run.
        likes: layouts of its inputs.
        tensors: its first inputs.
    """
    rng = torch.Generator().manual_seed(0)
    axes = [_axis(like.shape) for like in likes]
    one = [
        _changed(tensor if axis is None else tensor.narrow(axis, 0, 1), rng)
        for tensor, axis in zip(tensors, axes, strict=True)
    ]

    def lane_of(run: Callable[[Sequence[Tensor]], Sequence[Tensor]], lanes: int) -> list[Tensor] | None:
        """Return the results of the first lane and what it changed, None if another lane has others."""
        given = [like.empty(lanes).copy_(tensor) for like, tensor in zip(likes, one, strict=True)]
        values = [*run(given), *given]
        firsts = []
        for value, axis in zip(values, [*map(_axis, region.results), *axes], strict=True):
            first = value if axis is None else value.narrow(axis, 0, 1)
            if not _same_bits(first.expand_as(value), value):
                return None
            firsts.append(first)
        return firsts

    expected = lane_of(lambda given: region.graph(*given), 2)
    found = lane_of(code, TRIED[0])
    if expected is None or found is None or not all(map(_close, found, expected)):
        return False
    threads = torch.get_num_threads()
    try:
        for count in {1, threads}:
            torch.set_num_threads(count)
            for lanes in TRIED:
                others = lane_of(code, lanes)
                if others is None or not all(map(_same_bits, found, others)):
                    return False
    finally:
        torch.set_num_threads(threads)
    return True


def _changed(tensor: Tensor, rng: torch.Generator) -> Tensor:
    """Return other numbers of the same sign and size, and positive ones for zeros; integers stay."""
    if not tensor.is_floating_point():
        return tensor
    random = torch.rand(tensor.shape, generator=rng, dtype=torch.float64).to(tensor.dtype)
    return torch.where(tensor == 0, random, tensor * (0.5 + random))


def _same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(
        *(tensor.reshape(-1).contiguous().view(torch.uint8) for tensor in (one, other))
    )


def _close(found: Tensor, expected: Tensor) -> bool:
    """Return whether two results agree up to rounding."""
    if found.dtype != expected.dtype or not found.is_floating_point():
        return found.dtype == expected.dtype and torch.equal(found, expected)
    most = expected.abs().max()
    tolerance = TOLERANCE.get(found.dtype, 1e-2)
    return bool(torch.allclose(found, expected, rtol=tolerance, atol=float(most) * tolerance, equal_nan=True))

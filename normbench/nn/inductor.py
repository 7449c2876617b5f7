"""Torch's compiler for CPUs, Inductor, by functions that its documentation does not promise.

Nothing of it is imported before a graph is compiled: it takes seconds, and hundreds of megabytes.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import GraphModule

OLDEST = (2, 14)  # of torch, with which tests/nn/test_inductor.py passes
LANES = 16  # for which Inductor weighs loops; the code serves any number, and must not depend on the first
# The code must not depend on the machine's cores either. It asks for the number of threads when it runs.
_SETTINGS = {"cpp.threads": 8, "cpp.dynamic_threads": True, "compile_threads": 1}

Compiled = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class LaneError(RuntimeError):
    """The code of a graph would depend on the number of lanes."""


@dataclass(frozen=True)
class Lanes:
    """A size or a stride that is a multiple of the number of lanes."""

    each: int


Number = int | Lanes


@dataclass(frozen=True)
class Like:
    """The layout of a tensor for any number of lanes."""

    shape: tuple[Number, ...]
    strides: tuple[Number, ...]
    dtype: torch.dtype

    def empty(self, lanes: Any) -> Tensor:
        """Return a tensor of this layout, with any numbers in it."""
        return torch.empty_strided(_for(lanes, self.shape), _for(lanes, self.strides), dtype=self.dtype)


def _for(lanes: Any, numbers: Sequence[Number]) -> list[Any]:
    return [number.each * lanes if isinstance(number, Lanes) else number for number in numbers]


@cache
def missing() -> str | None:
    """Return what this machine lacks to compile, as the rest of a sentence; None if nothing."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    if version < OLDEST:
        return f"it needs torch {OLDEST[0]}.{OLDEST[1]} or newer, and this is {torch.__version__}"
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if sys.platform == "win32" or shutil.which(name.split()[0]) is None:
        return f"this machine has no C++ compiler ({name})"
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        return "the header files of Python (Python.h) are not installed"
    return None


def compile_graph(graph: GraphModule, inputs: Sequence[Like]) -> Compiled:
    """Return the operations of a graph as machine code that serves any number of lanes.

    The code is kept in the user's cache folder, unless TORCHINDUCTOR_CACHE_DIR says where. What the graph
    changes in place is changed.

    Args:
        graph: takes and returns tensors; sizes that depend on the number of lanes come from its inputs. It
            may copy to inputs (`copy_`), at its end; no other operation writes.
        inputs: their layouts.

    Raises:
        LaneError: the code would depend on the number of lanes.
        Exception: whatever Inductor raises, for a graph that it cannot compile.
    """
    folder = Path(os.environ.get("NORMBENCH_CACHE") or "~/.cache/normbench").expanduser() / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # otherwise it starts processes
    import torch._inductor.config as config
    from torch._dispatch.python import enable_python_dispatcher
    from torch._dynamo.source import ConstantSource
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx_inner
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.virtualized import V
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv

    environment = ShapeEnv()
    mode = FakeTensorMode(shape_env=environment)
    source = ConstantSource("lanes")
    symbol = environment.create_symbol(LANES, source, dynamic_dim=DimDynamic.DYNAMIC, constraint_dim=None)
    lanes = environment.create_symintnode(symbol, hint=LANES, source=source)

    def operations(*tensors: Tensor) -> Any:
        return graph(*tensors)

    with config.patch(_SETTINGS), mode, torch.no_grad(), tracing(TracingContext(mode)), V.set_fake_mode(mode):
        fakes = [like.empty(lanes) for like in inputs]
        with enable_python_dispatcher():  # for sizes that are symbols
            plain = make_fx(operations, select_decomp_table())(*fakes)
        code = compile_fx_inner(plain, fakes, is_inference=True)
    if environment.guards:
        raise LaneError(f"the code holds only for some numbers of lanes: {environment.guards[0].expr}")
    call: Any = cast("Any", code).current_callable
    return lambda tensors: call(list(tensors))

"""Every function of torch that its public documentation does not promise, in one place.

A new version of torch may change them. `tests/nn/test_torch_private.py` says which one changed and what
relies on it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._ops import OpOverload
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakTensorKeyDictionary as TensorKeys

__all__ = [
    "DIRECT",
    "ELEMENTWISE",
    "MAYBE_VIEWS",
    "RESHAPES",
    "SAME",
    "OpOverload",
    "TensorKeys",
    "TorchDispatchMode",
    "aten",
    "batch_norm_backward",
    "sigmoid_backward",
    "sigmoid_backward_into",
    "tanh_backward",
    "tanh_backward_into",
    "traceable",
    "transforms_active",
    "tree_map",
]

aten = torch.ops.aten

# Derivatives that torch's own autograd uses. The `_into` forms write into `grad_input`.
sigmoid_backward: Callable[..., Any] = aten.sigmoid_backward
sigmoid_backward_into: Callable[..., Any] = aten.sigmoid_backward.grad_input
tanh_backward: Callable[..., Any] = aten.tanh_backward
tanh_backward_into: Callable[..., Any] = aten.tanh_backward.grad_input
batch_norm_backward: Callable[..., Any] = aten.native_batch_norm_backward


def transforms_active() -> bool:
    """Return whether a transform of torch.func (vmap, grad) surrounds this call."""
    return bool(torch._C._are_functorch_transforms_active())


@contextmanager
def traceable() -> Iterator[None]:
    """Run what torch would fuse as it is written, so that it can be mapped over runs and traced.

    These are functions under `torch.compile`, and attention, whose fused CUDA kernels fail under vmap.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if "torch._dynamo" in sys.modules:  # otherwise nothing was compiled, and importing it takes a second
            from torch._dynamo import config

            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(config.patch(error_on_nested_fx_trace=False))
        yield


# What the tracer of engine/trace.py must know of single operations.
SAME = {aten.alias.default, aten.detach.default}  # they return their input as it is
MAYBE_VIEWS = {aten._unsafe_view.default, aten.reshape.default}  # which their schemas do not say
RESHAPES = {aten.permute.default, aten.expand.default, aten.view.default} | MAYBE_VIEWS

# Operations whose results depend, element by element, on the same elements alone, and not on where these lie
# in memory. An exponential has other bits in the last elements, which do not fill a vector register.
_IN_PLACE = "add sub mul div addcmul addcdiv lerp sqrt rsqrt neg abs reciprocal"
ELEMENTWISE = {
    getattr(packet, overload)
    for name in [
        *_IN_PLACE.split(),
        *(f"{name}_" for name in _IN_PLACE.split()),
        *("rsub", "maximum", "minimum"),
    ]
    for packet in [getattr(aten, name)]
    for overload in ("default", "Tensor", "Scalar")
    if hasattr(packet, overload)
}

# Functions of torch's Python interface that are these operations, with the same arguments. A call of one
# takes 1 microsecond, a call by schema 3 to 4. An operation that is not listed is called by its schema.
_FUNCTIONS = (
    ("abs bmm mm addmm baddbmm addcmul exp log neg rsqrt sqrt reciprocal tanh relu erf argmax", "default"),
    ("gather scatter_add unsqueeze index_select convolution cat clone amax", "default"),
    ("add sub mul div eq ge gt", "Tensor"),
    ("add sub mul div eq ge gt", "Scalar"),
    ("mean squeeze", "dim"),
    ("squeeze", "dims"),
    ("sum", "dim_IntList"),
    ("transpose", "int"),
    ("where", "self"),
)
_METHODS = (
    ("view expand new_zeros", "default"),
    ("baddbmm_ addcmul_ neg_ exp_ erf_ sqrt_ reciprocal_ copy_ addcdiv_", "default"),
    ("add_ sub_ mul_ div_", "Tensor"),
    ("add_ mul_ div_", "Scalar"),
    ("lerp_", "Tensor"),
    ("lerp_", "Scalar"),
)


def _direct(owner: Any, table: tuple[tuple[str, str], ...]) -> dict[Any, Any]:
    """Return operation -> function of `owner`, for the operations that this version of torch has."""
    return {
        getattr(getattr(aten, name), overload): getattr(owner, name)
        for names, overload in table
        for name in names.split()
        if hasattr(getattr(aten, name), overload)
    }


DIRECT: dict[Any, Any] = _direct(torch, _FUNCTIONS) | _direct(torch.Tensor, _METHODS)

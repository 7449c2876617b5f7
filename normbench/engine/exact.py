"""What makes a CUDA device compute the same numbers twice, and as precisely as their type says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact(device: str) -> Iterator[None]:
    """Switch TF32 off and cuDNN's deterministic algorithms on; the caller's settings are restored.

    TF32 keeps 10 of the 23 bits of a float32. cuDNN otherwise chooses its algorithms by their speed. A CPU
    needs neither.
    """
    if device != "cuda":
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def exactness(device: str) -> dict[str, Any]:
    """Return the settings in force, for environment.json; empty unless a CUDA device trains."""
    if device != "cuda":
        return {}
    return {
        "cuda": {
            "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
            "cudnn_tf32": torch.backends.cudnn.allow_tf32,
            "cudnn_deterministic": torch.backends.cudnn.deterministic,
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
        }
    }

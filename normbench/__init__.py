"""normbench: which normalization lets a network train faster, deeper, at larger learning rates?

    >>> import normbench
    >>> experiment = normbench.run("configs/quickstart.yaml")      # doctest: +SKIP
    >>> normbench.load("results/quickstart").runs.head()           # doctest: +SKIP

The names below are imported on first use, so that ``import normbench`` stays cheap.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from normbench._version import __version__

# MKL's matrix products of some small odd shapes round by the address of their operands, which for a run
# depends on its neighbours in the stack. This mode does not, at no measurable cost; MKL reads it once, at its
# first product.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__all__ = ["__version__", "compare", "draw", "load", "merge", "plan", "run", "scorecard", "verify"]


_FUNCTIONS = {
    **dict.fromkeys(("run", "plan", "merge", "load", "verify", "compare", "draw"), "normbench.api"),
    "scorecard": "normbench.cards.make",
}


class _Face(ModuleType):
    """The package, whose functions stay functions."""

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing a submodule of that name, such as a file that version 0.1 left behind, would bind it here.
        if not (name in _FUNCTIONS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'normbench' has no attribute {name!r}")

"""Loads a script of docs/, which is no package."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


@contextmanager
def docs_script(name):
    """Give the module of a script of docs/, with the scripts that it imports; forget them at the end."""
    before = set(sys.modules)
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(DOCS))
        for other in set(sys.modules) - before:
            if Path(getattr(sys.modules[other], "__file__", None) or "x").parent == DOCS:
                del sys.modules[other]

"""Python text executed as the cells of a notebook are."""

from __future__ import annotations

import linecache
import sys
import types


def execute(cells, name, monkeypatch):
    """Execute cells as IPython does: in a module without a file, with their text kept for tracebacks."""
    module = types.ModuleType(name)
    monkeypatch.setitem(sys.modules, name, module)
    for number, text in enumerate(cells):
        execute_more(module, text, f"<{name} {number}>", monkeypatch)
    return module


def execute_more(module, text, file, monkeypatch):
    """Execute one more cell in the same module; `file` names it."""
    monkeypatch.setitem(linecache.cache, file, (len(text), None, text.splitlines(keepends=True), file))
    exec(compile(text, file, "exec", dont_inherit=True), vars(module))

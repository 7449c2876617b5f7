"""Public functions with four or more parameters explain each of them."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import normbench

ROOT = Path(normbench.__file__).parent
FEW = 3  # parameters that a sentence can explain
# The functions of cli/ are commands: their options carry their own help.
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] != "cli"]


def functions(tree, module):
    """Yield (name, node, docstring) of public functions and methods; __init__ is explained by its class.

    A method that a base class defines is explained there.
    """
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            bases = getattr(module, node.name).__mro__[1:]
            for inner in node.body:
                if not isinstance(inner, ast.FunctionDef):
                    continue
                if inner.name == "__init__":
                    yield node.name, inner, f"{ast.get_docstring(node)}\n{ast.get_docstring(inner)}"
                elif not inner.name.startswith("_") and not any(inner.name in vars(base) for base in bases):
                    yield f"{node.name}.{inner.name}", inner, ast.get_docstring(inner) or ""


def parameters(node):
    arguments = node.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls")]


EXTRAS = ("ray",)  # packages that normbench imports only where a user asks for them


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_parameter_is_explained(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    try:
        module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        pytest.skip(f"needs the extra '{error.name}'")
    missing = []
    for name, node, text in functions(ast.parse(path.read_text(encoding="utf-8")), module):
        names = parameters(node)
        if len(names) > FEW:
            explained = text[text.index("Args:") :] if "Args:" in text else ""
            missing += [f"{name}: {one}" for one in names if not re.search(rf"\b{one}\b", explained)]
    assert not missing

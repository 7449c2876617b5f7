"""Imports go one way: a module imports only from its own part and from those below it."""

import ast
from pathlib import Path

import pytest

import normbench

ROOT = Path(normbench.__file__).parent
ORDER = (  # from the ground up
    *(
        "errors",
        "_version",
        "paths",
        "names",
        "cores",
        "counts",
        "durations",
        "markup",
        "memo",
        "seeding",
        "registry",
        "nn",
        "stats",
    ),
    *("data", "norms", "models", "optimizers", "probes", "measures"),
    *("config", "plugins", "planning", "engine", "fidelity", "records", "launch"),
    *("analysis", "deciding", "plots", "report", "exports", "recipes", "notebook", "api", "cards"),
    *("cli", "__init__", "__main__"),
)
FILES = sorted(ROOT.rglob("*.py"))


def place(module):
    assert module in ORDER, f"give normbench.{module} its place in ORDER"
    return ORDER.index(module)


def imported(path):
    """Yield the parts of normbench that a file imports, at its head or in a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports here are absolute"
            whole = node.module == "normbench"
            names = [f"normbench.{alias.name}" for alias in node.names] if whole else [node.module]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            part = rest.split(".")[0]
            if package == "normbench" and part:
                yield part, node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_below(path):
    own = place(path.relative_to(ROOT).parts[0].removesuffix(".py"))
    for part, line in imported(path):
        assert place(part) <= own, f"{path}:{line}: normbench.{part} lies above {ORDER[own]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_prints(path):
    if path.relative_to(ROOT).parts[0] in ("cli", "progress.py"):
        return
    calls = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not lines, f"{path}: print in lines {lines}"


def test_no_file_is_longer_than_400_lines():
    long = [path for path in FILES if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert not long

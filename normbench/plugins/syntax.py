"""The hash of a file's syntax tree: the same for code that differs in comments, formatting or docstrings.

The tree is written out here, because the text of `ast.dump` and `ast.unparse` differs between versions of
Python. Empty and missing fields are left out, so that a field that a later Python adds changes no hash.
"""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterator

from normbench.errors import NormbenchError

# What the other fields tell already: the context of a name, the `u` of u"text", and comments with types.
_IGNORED = {"ctx", "kind", "type_comment", "type_ignores"}
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def parse(data: bytes, where: str) -> ast.Module:
    """Return the syntax tree of a file; `where` names it in messages.

    Raises:
        NormbenchError: it is not Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python says it again when the file is executed
            return ast.parse(data, where)
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        line = f":{getattr(error, 'lineno', None) or 1}:{getattr(error, 'offset', None) or 1}"
        raise NormbenchError(f"{where}{line}: not Python: {getattr(error, 'msg', error)}") from None
    except (RecursionError, MemoryError):
        raise NormbenchError(
            f"{where}: nested too deeply for Python; divide its longest expression"
        ) from None


def tree_hash(tree: ast.Module) -> str:
    """Return the SHA-256 of a syntax tree. Docstrings do not count, all other constants do."""
    found = hashlib.sha256()
    waiting: list[ast.AST | str] = [tree]  # a stack in place of recursion: trees may be deep
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            found.update(item.encode("utf-8", "surrogatepass"))
        else:
            waiting += reversed(list(_parts(item)))
    return found.hexdigest()


def _parts(node: ast.AST) -> Iterator[ast.AST | str]:
    """Yield what a node consists of: text, and the nodes below it, which are written in their place."""
    yield f"({type(node).__name__}"
    for name, value in ast.iter_fields(node):
        if name in _IGNORED:
            continue
        if isinstance(node, ast.Constant):
            yield f" {_constant(value)}"
        elif isinstance(value, list):
            children = _children(node, name, value)
            if children:
                yield f" {name}=["
                for child in children:
                    yield child if isinstance(child, ast.AST) else f" {_constant(child)}"
                yield "]"
        elif value is not None:
            yield f" {name}="
            yield value if isinstance(value, ast.AST) else _constant(value)
    yield ")"


def _children(node: ast.AST, name: str, value: list[object]) -> list[object]:
    """Return the items of a field, without a docstring, and with the pieces of an f-string joined."""
    if (
        name == "body"
        and isinstance(node, _WITH_DOCSTRING)
        and ast.get_docstring(node, clean=False) is not None
    ):
        return value[1:]
    return _joined(value) if isinstance(node, ast.JoinedStr) else value


def _joined(pieces: list[object]) -> list[object]:
    """Return the pieces of an f-string, neighboring texts as one: where they are cut depends on Python."""
    joined: list[object] = []
    for piece in pieces:
        before = joined[-1] if joined else None
        if isinstance(piece, ast.Constant) and isinstance(before, ast.Constant):
            joined[-1] = ast.Constant(str(before.value) + str(piece.value))
        elif not isinstance(piece, ast.Constant) or piece.value:
            joined.append(piece)
    return joined


def _constant(value: object) -> str:
    """Return a constant as text, with its type; text and bytes with their length."""
    if isinstance(value, (str, bytes)):
        text = value if isinstance(value, str) else value.hex()
        return f"{type(value).__name__}:{len(text)}:{text}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"int:{value:x}"  # Python refuses to write long ones with decimal digits
    return f"{type(value).__name__}:{value!r}"

"""Conditions on runs, as a user writes them: `model.norm == 'batchnorm' and optimizer.lr >= 0.1`.

A condition is read as a Python expression and computed here, node by node. Only comparisons, `and`, `or`,
`not`, arithmetic, names, numbers and texts have a meaning; anything else is refused, so no code is executed.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union, cast

from normbench.errors import NormbenchError, did_you_mean

Value = Union[str, int, float, bool, None]  # None: an empty cell
LONGEST = 4000  # characters
DEEPEST = 50  # parts within parts

_ORDER: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_WORDS = {"true": "true", "false": "false"}  # truth values, as runs.csv writes them


@dataclass(frozen=True)
class Condition:
    """A condition that is read and checked.

    Attributes:
        text: as the user wrote it.
        names: of the columns that it asks for.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def holds(self, row: Mapping[str, Value]) -> bool:
        """Return whether a run meets the condition.

        A comparison with an empty cell is false; `!=` and `not in` are true.

        Args:
            row: value of each column; None, or a column that is not there: an empty cell.

        Raises:
            NormbenchError: a text is compared with a number, or something that is no condition is taken for
                one.
        """
        return self._truth(self._tree, row)

    def _truth(self, node: ast.expr, row: Mapping[str, Value]) -> bool:
        found = self._value(node, row)
        if isinstance(found, bool):
            return found
        raise self._error(node, f"{_source(node)} is no condition; compare it with something")

    def _value(self, node: ast.expr, row: Mapping[str, Value]) -> Value:
        if (name := _name(node)) is not None:
            return _WORDS.get(name, row.get(name))
        if isinstance(node, ast.Constant):
            return _constant(node)
        if isinstance(node, ast.BoolOp):
            every = all if isinstance(node.op, ast.And) else any
            return every(self._truth(part, row) for part in node.values)
        if isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.Not):
                return not self._truth(node.operand, row)
            number = self._number(node.operand, row)
            return number if number is None or isinstance(node.op, ast.UAdd) else -number
        if isinstance(node, ast.BinOp):
            return self._computed(node, row)
        assert isinstance(node, ast.Compare), ast.dump(node)
        sides = [node.left, *node.comparators]
        steps = zip(sides, node.ops, sides[1:], strict=False)
        return all(self._compared(left, op, right, row) for left, op, right in steps)

    def _number(self, node: ast.expr, row: Mapping[str, Value]) -> float | None:
        found = self._value(node, row)
        if found is None or (isinstance(found, (int, float)) and not isinstance(found, bool)):
            return found
        raise self._error(node, f"{_source(node)} is {_shown(found)}, which is no number")

    def _computed(self, node: ast.BinOp, row: Mapping[str, Value]) -> float | None:
        one, other = self._number(node.left, row), self._number(node.right, row)
        if one is None or other is None:
            return None
        try:
            result = _ARITHMETIC[type(node.op)](one, other)
        except (ZeroDivisionError, OverflowError):
            return None
        return None if math.isnan(result) else result

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr, row: Mapping[str, Value]) -> bool:
        one = self._value(left, row)
        if isinstance(op, (ast.In, ast.NotIn)):
            assert isinstance(right, (ast.List, ast.Tuple, ast.Set))
            same = any(self._equal(left, one, item, self._value(item, row)) for item in right.elts)
            return same is isinstance(op, ast.In)
        other = self._value(right, row)
        if isinstance(op, (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)):
            return self._equal(left, one, right, other) is isinstance(op, (ast.Eq, ast.Is))
        if one is None or other is None:
            return False
        self._refuse_kinds(left, one, right, other)
        return _ORDER[type(op)](one, other)

    def _equal(self, left: ast.expr, one: Value, right: ast.expr, other: Value) -> bool:
        if one is None or other is None:
            return one is other and (_is_none(left) or _is_none(right))
        self._refuse_kinds(left, one, right, other)
        return one == other

    def _refuse_kinds(self, left: ast.expr, one: Value, right: ast.expr, other: Value) -> None:
        if _kind(one) is not _kind(other):
            sides = f"{_source(left)} is {_shown(one)} and {_source(right)} is {_shown(other)}"
            raise self._error(left, f"{sides}; these cannot be compared")

    def _error(self, node: ast.expr, text: str) -> NormbenchError:
        return NormbenchError(f"where: {self.text!r}, character {node.col_offset + 1}: {text}")


def read_condition(text: str) -> Condition:
    """Return the condition in a text; a leading `where` is left out.

    Raises:
        NormbenchError: it cannot be read, or has something that has no meaning here.
    """
    first, _, rest = text.strip().partition(" ")
    text = rest.strip() if first.lower() == "where" else text.strip()
    if len(text) > LONGEST:
        raise NormbenchError(f"where: longer than {LONGEST:,} characters; write a shorter condition")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python's, on odd escapes in texts
            tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        place = f", character {error.offset}" if error.offset else ""
        raise NormbenchError(
            f"where: {text!r}{place}: cannot be read ({error.msg}); write it like "
            "\"model.norm == 'batchnorm' and optimizer.lr >= 0.1\", texts in quotes and == for equal"
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise NormbenchError("where: cannot be read; write a simpler condition") from None
    names: dict[str, None] = {}
    condition = Condition(text, (), tree)
    for node, why in _checked(tree, names, DEEPEST):
        raise condition._error(node, why)
    return Condition(text, tuple(names), tree)


def refuse_unknown(condition: Condition, known: Collection[str]) -> None:
    """Raise NormbenchError if the condition names a column that none of the experiments has."""
    for name in condition.names:
        if name not in known:
            quotes = "" if "." in name else f"a text needs quotes: '{name}'; "
            raise NormbenchError(
                f"where: {condition.text!r}: no column or setting is called {name}; "
                f"{did_you_mean(name, known)}{quotes}`normbench query RESULTS` without a condition shows all "
                "columns"
            )


def _checked(node: ast.expr, names: dict[str, None], room: int) -> Iterator[tuple[ast.expr, str]]:
    """Yield each part that has no meaning here, with the reason; collect the names of columns."""
    if not room:
        yield node, "too deeply nested; write a simpler condition"
    elif (name := _name(node)) is not None:
        if name not in _WORDS:
            names[name] = None
    elif isinstance(node, ast.Constant):
        if not (node.value is None or isinstance(node.value, (str, int, float))):
            yield node, f"{_source(node)} is neither a number nor a text"
        elif isinstance(node.value, (int, float)) and not math.isfinite(_as_float(node.value)):
            yield node, f"{_source(node)} is too large"
    elif isinstance(node, ast.BoolOp):
        for part in node.values:
            yield from _checked(part, names, room - 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub, ast.UAdd)):
        yield from _checked(node.operand, names, room - 1)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        yield node, "write `and` for &, and `or` for |"
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield from _checked(node.left, names, room - 1)
        yield from _checked(node.right, names, room - 1)
    elif isinstance(node, ast.Compare):
        yield from _checked(node.left, names, room - 1)
        for op, right in zip(node.ops, node.comparators, strict=True):
            if not isinstance(op, (ast.In, ast.NotIn)):
                yield from _checked(right, names, room - 1)
            elif isinstance(right, (ast.List, ast.Tuple, ast.Set)):
                for item in right.elts:
                    yield from _checked(item, names, room - 1)
            else:
                yield right, f"{_source(right)} is no list; write one, such as ['none', 'batchnorm']"
    else:
        yield node, f"{_source(node)} has no meaning here; allowed: comparisons, and, or, not, + - * /"


def _name(node: ast.expr) -> str | None:
    """Return the dotted name that a node is, without a last `.name`: a section's name is its own value."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    if len(parts) and parts[0] == "name":
        del parts[0]
    return ".".join([node.id, *reversed(parts)])


def _constant(node: ast.Constant) -> Value:
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    return cast("Value", node.value)  # its type was checked when the condition was read


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _kind(value: Value) -> type:
    return str if isinstance(value, str) else bool if isinstance(value, bool) else float


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _source(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return f"the text '{value}'"
    return "a condition" if isinstance(value, bool) else f"the number {value:g}" if value else "the number 0"

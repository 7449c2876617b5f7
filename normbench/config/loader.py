"""YAML as plain data that keeps lines and columns: no tags, no surprises, bounded for any input.

Scalars follow YAML 1.2: `1e-3` is a number, `true` and `false` alone are booleans, `off`, `no` and `none` are
words, dates are text. The tree is composed from PyYAML's events, so a file is refused as soon as it passes a
bound, before anything is built from the rest of it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from normbench.config.nodes import Node, Scalar
from normbench.config.problems import Problems, Where
from normbench.errors import ConfigError
from normbench.paths import broken_link, expanded

MAX_BYTES = 1_000_000
MAX_NODES = 100_000  # with aliases written out; a plain sweep of 10,000 cells stays well below
MAX_DEPTH = 40
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels; a config needs fewer"

# Both have the same safe events; libyaml's are ten times faster, where PyYAML was built with it.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_QUOTED_BACKSLASH = re.compile(r'"([^"]*\\[^"]*)"')
_WINDOWS_PATH = re.compile(r'"([A-Za-z]:\\[^\\].*)"', re.DOTALL)  # with a single backslash
_NO_SPACE = re.compile(r"\s*(?:- )?([A-Za-z_][\w.]*):(?![/\\])([^\s:][^:]*)$")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


class _StopError(Exception):
    """Ends the reading of a file; the problem is already noted."""


def scalar(text: str) -> Scalar:
    """Return what a plain (unquoted) scalar means; ValueError for a number that nothing can hold."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        if len(text) > 19 and len(text.lstrip("+-0")) > 18:
            raise ValueError(f"{text[:20]}... is too large for a whole number; at most 18 digits")
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise ValueError(f"{text[:20]} is too large for a number; at most 1.8e308")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"'{text}' is not a finite number; write a finite one, or leave the key out")
    return text


def read_text(path: str | Path) -> str:
    """Return the text of a config file, or raise a `ConfigError` that says why it cannot be read."""
    path = expanded(path, "config", ConfigError)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError(f"{path}: found a folder; a config is a YAML file") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        reason = (broken_link(path) if isinstance(error, FileNotFoundError) else None) or reason
        raise ConfigError(f"{path}: cannot be read ({reason}); name a readable YAML file") from None
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; a config is smaller than that")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise ConfigError(
            f"{path}:{line}:{column}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def parse(text: str, where: Where, problems: Problems) -> Node:
    """Return the tree of a YAML text; what is wrong goes to `problems`, and a broken one gives an empty tree.

    `where` names the file; every part of an override stands at `where` itself.
    """
    try:
        return _Composer(text, where, problems).document()
    except _StopError:
        pass
    except yaml.YAMLError as error:
        problems.add(*_syntax(error, where, text))
    except (ValueError, UnicodeError, RecursionError) as error:  # PyYAML's own, on strange escapes
        problems.add(where, "", f"cannot be read as YAML ({error})")
    return Node({}, where)


def _syntax(error: yaml.YAMLError, where: Where, whole: str) -> tuple[Where, str, str]:
    """Return place, key and text of an error of PyYAML's, with the usual slip that causes it.

    Args:
        error: PyYAML's.
        where: names the file.
        whole: its text.
    """
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if isinstance(error, yaml.MarkedYAMLError):
        text = ", ".join(part for part in (error.context, error.problem) if part)
    else:
        text = str(error).splitlines()[0]
    fixed = where.source.startswith("--set")
    if mark is not None and where.column >= 0 and not fixed:
        where = Where(where.source, mark.line + 1, mark.column + 1)
    if "nesting depth" in text:  # libyaml has a limit of its own, which may come before ours
        return where, "", TOO_DEEP
    slip = _slip(whole, mark.line, "escape" in text or "hex" in text) if mark is not None else None
    if slip is None:
        return where, "", f"not YAML: {text}"
    line, column, mend = slip
    return where if fixed else Where(where.source, line, column), "", f"not YAML: {mend}"


def _slip(whole: str, last: int, escape: bool) -> tuple[int, int, str] | None:
    """Return line, column and text of the slip that is likely the cause of an error, or None.

    Args:
        whole: the text.
        last: the line at which the parser gave up, from 0.
        escape: whether it gave up at a backslash in double quotes.
    """
    lines = whole.split("\n")[: last + 1]
    if escape and (path := _QUOTED_BACKSLASH.search(lines[-1])):
        return last + 1, path.start() + 1, _backslash(path[1])
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        indent = line[: len(line) - len(line.lstrip())]
        if "\t" in indent:
            return number, indent.index("\t") + 1, "a tab in the indentation; write spaces in its place"
    for number in range(len(lines), 0, -1):
        if key := _NO_SPACE.match(lines[number - 1]):
            text = f"a space is missing after the colon; write '{key[1]}: {key[2].split('#')[0].strip()}'"
            return number, key.start(1) + 1, text
    return None


def _backslash(text: str) -> str:
    """Return the mend for a path of Windows in double quotes."""
    return (
        "a backslash in double quotes begins an escape; write the text in single quotes, "
        f"'{text}', or with '/'"
    )


class _Composer:
    """Builds the tree from PyYAML's events."""

    def __init__(self, text: str, where: Where, problems: Problems) -> None:
        self.events = yaml.parse(text, Loader=_Parser)
        self.text = text
        self.origin = where
        self.fixed = where.source.startswith("--set")
        self.problems = problems
        self.anchors: dict[str, Node | None] = {}  # None while the anchored node is still open
        self.size = 0

    def document(self) -> Node:
        """Return the one document of the text."""
        next(self.events)  # the start of the stream
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return Node(None, self.origin)
        node = self.node(next(self.events), (), 0)
        next(self.events)  # the end of the document
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self.fail(event, (), "a second YAML document; a config file is one document, without '---'")
        return node

    def where(self, event: Any) -> Where:
        """Return the place of an event."""
        mark = event.start_mark
        return self.origin if self.fixed else Where(self.origin.source, mark.line + 1, mark.column + 1)

    def add(self, event: Any, path: tuple[str, ...], text: str) -> None:
        """Note a problem and go on."""
        self.problems.add(self.where(event), ".".join(path), text)

    def fail(self, event: Any, path: tuple[str, ...], text: str) -> None:
        """Note a problem after which going on makes no sense."""
        self.add(event, path, text)
        raise _StopError

    def node(self, event: Any, path: tuple[str, ...], depth: int) -> Node:
        """Return the node that starts with this event."""
        if depth > MAX_DEPTH:
            self.fail(event, path[:3], TOO_DEEP)
        if isinstance(event, yaml.AliasEvent):
            node = self.alias(event, path, depth)
        else:
            if event.anchor is not None:
                self.anchors[event.anchor] = None
            if event.tag is not None:
                tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
                self.add(event, path, f"the tag '{tag}' is refused: a config is plain data; leave it out")
            node = self.fresh(event, path, depth)
            if event.anchor is not None:
                self.anchors[event.anchor] = node
        return node

    def fresh(self, event: Any, path: tuple[str, ...], depth: int) -> Node:
        """Return the node of any event but an alias."""
        self.count(event, path, 1)
        where = self.where(event)
        if isinstance(event, yaml.ScalarEvent):
            return Node(self.scalar(event, path), where)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(inner, (*path, str(len(items))), depth + 1))
            return Node(items, where)
        values: dict[str, Node] = {}
        keys: dict[str, Where] = {}
        while not isinstance(inner := next(self.events), yaml.MappingEndEvent):
            key = self.key(inner, path)
            value = self.node(next(self.events), (*path, key), depth + 1)
            if key in values:
                self.add(
                    inner, (*path, key), f"given twice, first at {self.place(keys[key])}; keep one of them"
                )
            elif key == "<<" and not getattr(inner, "style", ""):
                self.add(inner, path, "the merge key '<<' is refused; write the keys out")
            else:
                values[key], keys[key] = value, self.where(inner)
        return Node(values, where, keys)

    def place(self, where: Where) -> str:
        """Return a place of this text in short."""
        return f"line {where.line}" if where.line else str(where)

    def key(self, event: Any, path: tuple[str, ...]) -> str:
        """Return the text of a key."""
        if not isinstance(event, yaml.ScalarEvent):
            self.fail(event, path, "a key is a list, a mapping or an alias; keys are words")
        if event.anchor is not None or event.tag is not None:
            self.add(event, path, "a key has a tag or an anchor; keys are plain words")
        self.count(event, path, 1)
        return str(event.value)

    def scalar(self, event: Any, path: tuple[str, ...]) -> Scalar:
        """Return the value of a scalar event."""
        text: str = event.value
        if any("\ud800" <= char <= "\udfff" for char in text):
            self.add(event, path, "half of a surrogate pair; write the character itself")
            return ""
        raw = self.text[event.start_mark.index : event.end_mark.index] if event.style == '"' else ""
        if path_text := _WINDOWS_PATH.fullmatch(raw):  # "C:\temp" would silently hold a tab
            self.add(event, path, _backslash(path_text[1]))
        if event.style:  # quoted or block text is always text
            return text
        try:
            return scalar(text)
        except ValueError as error:
            self.add(event, path, str(error))
            return 0

    def alias(self, event: Any, path: tuple[str, ...], depth: int) -> Node:
        """Return the anchored node; its nodes count as if they were written out."""
        if event.anchor not in self.anchors:
            self.fail(event, path, f"the alias '*{event.anchor}' has no anchor '&{event.anchor}' before it")
        node = self.anchors[event.anchor]
        if node is None:
            self.fail(event, path, f"the anchor '&{event.anchor}' contains itself; write the values out")
        assert node is not None
        self.count(event, path, node.size)
        if depth + node.depth > MAX_DEPTH:
            self.fail(event, path[:3], TOO_DEEP)
        return node

    def count(self, event: Any, path: tuple[str, ...], nodes: int) -> None:
        """Add to the size of the file, aliases written out, and stop at the bound."""
        self.size += nodes
        if self.size > MAX_NODES:
            self.fail(
                event, path[:3], f"more than {MAX_NODES:,} values once its aliases are written out; use fewer"
            )

"""The tree of a config: plain data whose parts know where they were written."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Union

from normbench.config.problems import Where

Scalar = Union[str, int, float, bool, None]
_UNSET: Any = object()


class Node:
    """A scalar, a list of nodes or a mapping of nodes, with its place. It never changes once it is built."""

    __slots__ = ("_plain", "depth", "keys", "size", "value", "where")

    def __init__(
        self,
        value: Scalar | list[Node] | dict[str, Node],
        where: Where,
        keys: dict[str, Where] | None = None,
    ) -> None:
        self.value = value
        self.where = where
        self.keys = keys or {}  # of a mapping: where each key stands
        children: Collection[Node] = ()
        if isinstance(value, dict):
            children = value.values()
        elif isinstance(value, list):
            children = value
        self.size: int = 1 + sum(child.size for child in children)  # nodes, aliases written out
        self.depth: int = 1 + max((child.depth for child in children), default=0)
        self._plain: Any = _UNSET

    @property
    def plain(self) -> Any:
        """The plain data (shared between uses: copy it before changing it)."""
        if self._plain is _UNSET:
            if isinstance(self.value, dict):
                self._plain = {key: child.plain for key, child in self.value.items()}
            elif isinstance(self.value, list):
                self._plain = [child.plain for child in self.value]
            else:
                self._plain = self.value
        return self._plain

    @property
    def mapping(self) -> dict[str, Node]:
        """The children of a mapping; empty for anything else."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def items(self) -> list[Node]:
        """The children of a list; empty for anything else."""
        return self.value if isinstance(self.value, list) else []

    def get(self, *path: str) -> Node | None:
        """Return the node below these keys, or None."""
        node: Node | None = self
        for key in path:
            node = node.mapping.get(key) if node else None
        return node

    def key_where(self, key: str) -> Where:
        """Return where the key of a mapping stands, or the mapping itself where it has no such key."""
        return self.keys.get(key, self.where)

    def with_value(self, path: tuple[str, ...], value: Node) -> Node:
        """Return a copy of this mapping in which the value below `path` is another; all else is shared."""
        key, *rest = path
        if rest:
            child = self.mapping.get(key)
            if child is None or not isinstance(child.value, dict):
                child = Node({}, value.where)
            value = child.with_value(tuple(rest), value)
        keys = {**self.keys, key: self.keys.get(key, value.where)}
        return Node({**self.mapping, key: value}, self.where, keys)

    def without(self, key: str) -> Node:
        """Return a copy of this mapping that lacks the key."""
        return Node({k: v for k, v in self.mapping.items() if k != key}, self.where, self.keys)


def build(data: Any, where: Where) -> Node:
    """Return plain data as a tree whose parts all have the same place."""
    if isinstance(data, dict):
        keys = {str(key): where for key in data}
        return Node({str(key): build(value, where) for key, value in data.items()}, where, keys)
    if isinstance(data, (list, tuple)):
        return Node([build(value, where) for value in data], where)
    return Node(data, where)

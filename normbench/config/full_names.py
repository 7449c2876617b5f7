"""Short names (`bn`) and names in another case (`BatchNorm`) outside of the sections, as full names.

So that what is recorded, matched by claims and drawn has one name for one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normbench.config.keys import canonical, class_of, expand, in_full, owners
from normbench.config.nodes import Node
from normbench.config.schema import Settings
from normbench.measures import MEASURES
from normbench.probes import PROBES
from normbench.registry import Registry, full_name


def with_full_names(root: Node) -> Node:
    """Return a config with full names in its sweep, its claims and its probes."""
    root = _changed(root, "sweep", _sweep)
    root = _changed(root, "probes", lambda node: _each(node, lambda item: _chosen(item, PROBES)))
    return _changed(root, "claims", lambda node: _each(node, _claim))


def _changed(node: Node, key: str, change: Callable[[Node], Node]) -> Node:
    child = node.mapping.get(key)
    return node if child is None else node.with_value((key,), change(child))


def _each(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a list with each item changed; anything else as it is."""
    return Node([change(item) for item in node.items], node.where) if node.items else node


def _sweep(node: Node) -> Node:
    blocks = ("zip", "include", "exclude")
    for key in blocks:
        node = _changed(node, key, lambda child: _each(child, _filter))
    return _filter(node, leave=blocks)


def _filter(node: Node, leave: tuple[str, ...] = ()) -> Node:
    """Return a mapping {dotted key: value or list of values} with full names."""
    for key in node.mapping:
        if key not in leave:
            node = node.with_value((key,), _value(key, node.mapping[key]))
    return node


def _value(key: str, node: Node) -> Node:
    if isinstance(node.value, list):
        return _each(node, lambda item: _value(key, item))
    for owner, field in owners(Settings, canonical(Settings, tuple(key.split(".")))):
        changed = in_full(owner, field, node)
        inner = class_of(owner, field, changed) if changed.mapping.get("name") else None
        if inner is not None:
            changed = expand(changed, inner)
        if changed.plain != node.plain:
            return changed
    return node


def _claim(node: Node) -> Node:
    for key in ("of", "against"):
        node = _changed(node, key, _filter)
    node = _changed(node, "control", lambda child: _each(child, _filter))
    return _changed(node, "measure", lambda child: _chosen(child, MEASURES))


def _chosen(node: Node, registry: Registry[Any]) -> Node:
    """Return a name, or a mapping with a name, with the full name of this registry."""
    if node.mapping:
        return _changed(node, "name", lambda name: _chosen(name, registry))
    full = full_name(registry.entries, node.value)
    return node if full is None else Node(full, node.where)

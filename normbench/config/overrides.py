"""`--set KEY=VALUE`: changes to a config from the command line, parsed by the same loader."""

from __future__ import annotations

from collections.abc import Sequence

from normbench.config.hints import epochs_text, means_epochs, unknown_key
from normbench.config.keys import Path, assign, canonical, options_at, owners
from normbench.config.loader import parse
from normbench.config.nodes import Node
from normbench.config.problems import Problems, Where
from normbench.config.schema import SECTIONS, Config, Settings

_BLOCKS = ("zip", "exclude", "include")


def apply_overrides(root: Node, overrides: Sequence[str], problems: Problems) -> Node:
    """Return the config with the overrides applied, one after the other."""
    for text in overrides:
        where = Where(f"--set {text}")
        key, equals, value_text = text.partition("=")
        key = key.strip()
        if not equals or not key or not all(key.split(".")):
            problems.add(where, "", "found no KEY=VALUE; write for example --set model.depth=5")
            continue
        value = parse(value_text, where, problems)
        root = _override(root, key, value, problems)
    return root


def _override(root: Node, key: str, value: Node, problems: Problems) -> Node:
    path = tuple(key.split("."))
    if means_epochs(key):
        problems.add(value.where, key, epochs_text(key, value, root))
        return root
    if path[0] in SECTIONS and path != ("train",):
        return _setting(root, canonical(Settings, path), key, value, problems)
    if path[0] == "sweep" and len(path) > 1 and path[1] not in _BLOCKS:
        return _axis(root, ".".join(path[1:]), value, problems)
    if path[0] not in Config.model_fields:
        problems.add(value.where, key, unknown_key(path[0], list(Config.model_fields)))
        return root
    if path[0] in _BLOCKS or (path[0] == "sweep" and len(path) > 1):
        sweep = root.get("sweep") or Node({}, value.where)
        return _put(root, ("sweep",), _put(sweep, path[1:], value, problems, key), problems, key)
    return _put(root, path, value, problems, key)


def _setting(root: Node, path: Path, key: str, value: Node, problems: Problems) -> Node:
    """Set an option of data, model, optimizer or train; a swept one gets a new axis."""
    sweep = root.get("sweep")
    if _swept(sweep, path) or _zipped(sweep, path):
        listed = isinstance(value.value, list) or set(value.mapping) & {"linspace", "logspace", "range"}
        return _axis(root, key, value if listed else Node([value], value.where), problems)
    changed = assign(root, Settings, path, value)
    if changed is not None:
        return changed
    for length in range(1, len(path) + 1):
        if not list(owners(Settings, path[:length])):
            text = unknown_key(path[length - 1], options_at(Settings, path[: length - 1]))
            break
    else:
        text = f"the config's {path[-2]} has no '{path[-1]}'; choose one that has, or leave this out"
    problems.add(value.where, key, text)
    return root


def _swept(sweep: Node | None, path: Path) -> str | None:
    """Return the key under which the path is an axis of its own, as it is written."""
    keys = sweep.mapping if sweep else {}
    return next((key for key in keys if canonical(Settings, tuple(key.split("."))) == path), None)


def _zipped(sweep: Node | None, path: Path) -> bool:
    """Return whether an axis of a zip block sweeps the path."""
    blocks = sweep.get("zip") if sweep else None
    return any(_swept(block, path) for block in (blocks.items if blocks else []))


def _axis(root: Node, key: str, axis: Node, problems: Problems) -> Node:
    """Give the sweep an axis in place of the one that it has, or as its last."""
    sweep = root.get("sweep") or Node({}, axis.where)
    path = canonical(Settings, tuple(key.split(".")))
    if _zipped(sweep, path):
        text = "swept in a zip block, whose axes move together; set all of it with --set 'sweep.zip=[...]'"
        problems.add(axis.where, key, text)
        return root
    written = _swept(sweep, path) or key
    keys = {**sweep.keys, written: axis.where}
    changed = Node({**sweep.mapping, written: axis}, sweep.where, keys)
    return root.with_value(("sweep",), changed)


def _put(node: Node, path: Path, value: Node, problems: Problems, key: str) -> Node:
    """Set the value at a path below this node, through mappings and the numbered items of lists."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    if isinstance(node.value, list):
        if not first.isdecimal() or int(first) >= len(node.items):
            problems.add(
                value.where, key, f"'{first}' is no item of this list; allowed: 0 to {len(node.items) - 1}"
            )
            return node
        items = list(node.items)
        items[int(first)] = _put(items[int(first)], rest, value, problems, key)
        return Node(items, node.where)
    child = node.mapping.get(first) or Node({}, value.where)
    keys = {**node.keys, first: node.key_where(first) if rest else value.where}
    return Node({**node.mapping, first: _put(child, rest, value, problems, key)}, node.where, keys)

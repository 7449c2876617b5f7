"""Dotted keys: which options there are, and what setting one does to a config's tree.

Naming a kind (`optimizer.name: adam`, or short `optimizer: adam`) keeps those of the options that this kind
has, too; a mapping `{name: ..., ...}` replaces the whole section.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from normbench.config.nodes import Node
from normbench.registry import Options, SectionChoice, WordChoice, full_name, registry_of

Path = tuple[str, ...]


@cache
def _fixed_parts(cls: type[BaseModel], field: str) -> tuple[tuple[type[BaseModel], ...], bool]:
    """Return the pydantic models among a field's types, and whether it takes nothing else (but null)."""
    models: list[type[BaseModel]] = []
    others = False
    todo: list[Any] = [cls.model_fields[field].annotation]
    while todo:
        kind = todo.pop(0)
        if get_origin(kind) is Annotated:
            todo.insert(0, get_args(kind)[0])
        elif get_origin(kind) in (Union, types.UnionType):
            todo.extend(get_args(kind))
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            models.append(kind)
        elif kind is not type(None):
            others = True
    return tuple(models), bool(models) and not others


def _parts(cls: type[BaseModel], field: str) -> tuple[tuple[type[BaseModel], ...], bool]:
    """Return the same; of a field that chooses from a registry, the classes that are registered now."""
    registry = registry_of(cls.model_fields[field])
    return _fixed_parts(cls, field) if registry is None else (tuple(registry.classes()), True)


def is_section(cls: type[BaseModel], field: str) -> bool:
    """Return whether the field is a section with options of its own, and never a single value."""
    return _parts(cls, field)[1]


def section_classes(cls: type[BaseModel], field: str) -> tuple[type[BaseModel], ...]:
    """Return the classes that a section can have; empty for a field that is not a section."""
    models, only = _parts(cls, field)
    return models if only else ()


@cache
def _fixed_kinds(cls: type[BaseModel], field: str) -> Mapping[str, type[BaseModel]]:
    """Return the kinds of a section whose one class has several names, such as a schedule."""
    models, only = _fixed_parts(cls, field)
    found: dict[str, type[BaseModel]] = {}
    for model in models if only else ():
        name = model.model_fields.get("name")
        if name is None or get_origin(name.annotation) is not Literal:
            return {}
        found.update((str(choice), model) for choice in get_args(name.annotation))
    return found


def kinds(cls: type[BaseModel], field: str) -> Mapping[str, type[BaseModel]]:
    """Return the kinds that a `name` chooses from in this section; empty where there is nothing to choose."""
    registry = registry_of(cls.model_fields[field])
    return _fixed_kinds(cls, field) if registry is None else registry.entries


def class_of(cls: type[BaseModel], field: str, node: Node | None) -> type[BaseModel] | None:
    """Return the class of the section that this node fills; None for a wrong name or no section."""
    choice = kinds(cls, field)
    if choice:
        name = node.get("name") if node else None
        if name is None:
            return choice.get(default_name(cls, field))
        full = full_name(choice, name.value)
        return None if full is None else choice[full]
    models = _parts(cls, field)[0]
    return models[0] if models else None


def item_kinds(cls: type[BaseModel], field: str) -> Mapping[str, type[BaseModel]]:
    """Return the classes of the items of a list field by the names that choose them, or one under ''."""
    kind = cls.model_fields[field].annotation
    if get_origin(kind) is not list:
        return {}
    (item,) = get_args(kind)
    if get_origin(item) is Annotated:
        item, *metadata = get_args(item)
        chosen = next((one.registry for one in metadata if isinstance(one, SectionChoice)), None)
        if chosen is not None:
            return dict(chosen.entries)
    return {"": item} if isinstance(item, type) and issubclass(item, BaseModel) else {}


def item_class(cls: type[BaseModel], field: str, item: Node) -> type[BaseModel] | None:
    """Return the class of this item of a list field, or None where it has none."""
    found = item_kinds(cls, field)
    name = item.get("name")
    return found.get("") or found.get(full_name(found, name.value if name else "") or "")


def default_name(cls: type[BaseModel], field: str) -> str:
    """Return the name of the kind that a section has which the config does not write; empty if it has to."""
    default = cls.model_fields[field].get_default(call_default_factory=True)
    return str(getattr(default, "name", ""))


@cache
def _literal_words(cls: type[BaseModel], field: str) -> Mapping[str, None]:
    """Return the words that a field with fixed choices takes; empty for any other."""
    words: dict[str, None] = {}
    todo: list[Any] = [cls.model_fields[field].annotation]
    while todo:
        kind = todo.pop()
        if get_origin(kind) in (Union, types.UnionType):
            todo.extend(get_args(kind))
        elif get_origin(kind) is Literal:
            words.update((word, None) for word in get_args(kind) if isinstance(word, str))
    return words


def _words(cls: type[BaseModel], field: str) -> Mapping[str, Any]:
    """Return the words that a field can choose from; empty for numbers, free text and sections."""
    metadata = cls.model_fields[field].metadata
    chosen = next((one.entries for one in metadata if isinstance(one, WordChoice)), None)
    return _literal_words(cls, field) if chosen is None else chosen


def in_full(cls: type[BaseModel], field: str, value: Node) -> Node:
    """Return the value of a field with full names in place of short names and of names in another case."""
    choice = kinds(cls, field)
    if choice and isinstance(value.value, dict):
        name = value.get("name")
        return value if name is None else value.with_value(("name",), _in_full(choice, name))
    return _in_full(choice or _words(cls, field), value)


def _in_full(choice: Mapping[str, Any], word: Node) -> Node:
    full = full_name(choice, word.value)
    return word if full is None or full == word.value else Node(full, word.where)


def expand(node: Node, cls: type[BaseModel]) -> Node:
    """Return the tree with every short form `section: x` written out as `section: {name: x}`.

    Short names become full names.
    """
    if not isinstance(node.value, dict):
        return node
    node = _with_new_names(node, cls)
    values = dict(node.mapping)
    for key, child in node.mapping.items():
        if key not in cls.model_fields:
            continue
        child = in_full(cls, key, child)
        if isinstance(child.value, str) and kinds(cls, key):
            child = Node({"name": child}, child.where, {"name": child.where})
        inner = class_of(cls, key, child)
        values[key] = expand(child, inner) if inner else child
    return Node(values, node.where, node.keys)


def _with_new_names(node: Node, cls: type[BaseModel]) -> Node:
    """Return a section with renamed options under their new names; one that is given twice stays."""
    names = {old: renamed(cls, old) for old in node.mapping if renamed(cls, old) not in node.mapping}
    if not any(old != new for old, new in names.items()):
        return node
    values = {names.get(key, key): child for key, child in node.mapping.items()}
    return Node(values, node.where, {names.get(key, key): node.key_where(key) for key in node.mapping})


def renamed(cls: type[BaseModel], key: str) -> str:
    """Return the name of an option that has another one now, otherwise the key itself."""
    return cls.aliases.get(key, key) if issubclass(cls, Options) else key


def canonical(cls: type[BaseModel], path: Path) -> Path:
    """Return the path as settings have it.

    Renamed options get their new names, and a final `name` that chooses a kind is left out:
    `optimizer.name` is `optimizer`.
    """
    for length in range(1, len(path)):
        for owner, field in owners(cls, path[:length]):
            for model in _parts(owner, field)[0]:
                new = renamed(model, path[length])
                if new != path[length]:
                    path = (*path[:length], new, *path[length + 1 :])
    if len(path) > 1 and path[-1] == "name" and any(kinds(*owner) for owner in owners(cls, path[:-1])):
        return path[:-1]
    return path


def owners(cls: type[BaseModel], path: Path) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield (class, field) for each kind of section in which this path is an option."""
    key, rest = renamed(cls, path[0]), path[1:]
    if key in cls.model_fields:
        if not rest:
            yield cls, key
        else:
            for model in dict.fromkeys(_parts(cls, key)[0]):
                yield from owners(model, rest)


def assign(node: Node, cls: type[BaseModel], path: Path, value: Node) -> Node | None:
    """Return the tree with the value set at the (canonical) path; None if its kinds have no such option."""
    key, rest = path[0], path[1:]
    if key not in cls.model_fields:
        return None
    child = node.mapping.get(key)
    if not rest:
        return node.with_value(path, _set(cls, key, child, value))
    inner = class_of(cls, key, child)
    if inner is None:
        return None
    if child is None:
        name = default_name(cls, key) if kinds(cls, key) else ""
        names = {"name": Node(name, value.where)} if name else {}
        child = Node(names, node.where, dict.fromkeys(names, value.where))
    elif not isinstance(child.value, dict):
        child = Node({}, child.where)
    changed = assign(child, inner, rest, value)
    return None if changed is None else node.with_value((key,), changed)


def _set(cls: type[BaseModel], key: str, child: Node | None, value: Node) -> Node:
    """Return what a section or option becomes when it is set to this value."""
    choice, value = kinds(cls, key), in_full(cls, key, value)
    if not choice or not isinstance(value.value, str):
        inner = class_of(cls, key, value)
        return expand(value, inner) if inner else value
    kept: dict[str, Node] = {"name": value}
    keys = {"name": value.where}
    kind = choice.get(value.value)
    if kind is not None and child is not None:
        for option, old in child.mapping.items():
            if option != "name" and option in kind.model_fields:
                kept[option], keys[option] = old, child.key_where(option)
    return Node(kept, value.where, keys)


def unknown_name(cls: type[BaseModel], node: Node, path: Path) -> bool:
    """Return whether a section on the way of this path has a name that no kind has."""
    for key in path:
        if key not in cls.model_fields:
            return False
        child = node.mapping.get(key)
        inner = class_of(cls, key, child)
        if inner is None:
            return bool(kinds(cls, key))
        if child is None:
            return False
        cls, node = inner, child
    return False


def options_at(cls: type[BaseModel], path: Path) -> list[str]:
    """Return the options below this path, of any kind; what a message lists as allowed."""
    if not path:
        return list(cls.model_fields)
    found: dict[str, None] = {}
    for owner, field in owners(cls, path):
        for model in _parts(owner, field)[0]:
            found.update(dict.fromkeys(model.model_fields))
    return list(found)

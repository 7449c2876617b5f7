"""pydantic's errors in plain words, each at the line and column of the value that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from normbench.config.hints import keys_of, missing_space, to_sweep, unknown_key
from normbench.config.keys import Path, class_of, item_class, item_kinds, kinds, section_classes
from normbench.config.nodes import Node
from normbench.config.problems import Problems, Where, shown
from normbench.errors import did_you_mean, one_of

M = TypeVar("M", bound=BaseModel)

MAX_EXPLAINED = 500  # errors of one section; a message shows fewer

_TYPES = {  # pydantic's error types that say 'another type': what is allowed
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping {dotted key: value}",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "none_required": "nothing",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def dotted(path: Sequence[str | int]) -> str:
    """Return a path as messages show it: `claims[0].expect`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def validate(
    cls: type[M], node: Node, problems: Problems, prefix: Path = (), ignore_missing: bool = False
) -> M | None:
    """Return the node as this class, or note what is wrong and return None.

    Args:
        cls: the class of the section.
        node: the section as written.
        problems: what is wrong is noted here.
        prefix: the path of the section in the config.
        ignore_missing: whether missing options are no problem.
    """
    try:
        return cls.model_validate_json(json.dumps(node.plain))
    except ValidationError as error:
        for where, path, text in explain(cls, node, error, ignore_missing, prefix):
            problems.add(where, dotted((*prefix, *path)), text)
    return None


class _Found:
    """One pydantic error, found again in the tree."""

    def __init__(self, node: Node, error: Any) -> None:
        self.error = error
        self.kind: str = error["type"]
        self.context: Mapping[str, Any] = error.get("ctx", {})
        self.path: list[str | int] = []
        self.parents: list[Node] = [node]
        for part in error["loc"]:  # parts that are not in the tree are names of types
            here = self.parents[-1]
            child = here.mapping.get(part) if isinstance(part, str) else None
            if isinstance(part, int) and part < len(here.items):
                child = here.items[part]
            if child is not None:
                self.parents.append(child)
                self.path.append(part)
        self.node = self.parents[-1]
        self.where = self.node.where
        if self.kind == "extra_forbidden":
            self.where = self.parents[-2].key_where(str(self.path[-1]))
        if self.kind == "missing":
            self.path.append(error["loc"][-1])

    @property
    def wrong_type(self) -> bool:
        return self.kind in _TYPES


def explain(
    cls: type[BaseModel],
    node: Node,
    error: ValidationError,
    ignore_missing: bool = False,
    prefix: Path = (),
) -> list[tuple[Where, list[str | int], str]]:
    """Return place, path and text of each problem; the branches of a union count as one.

    Args:
        cls: the class of the section.
        node: the section as written.
        error: what pydantic says of it.
        ignore_missing: whether missing options are no problem.
        prefix: the path of the section in the config.
    """
    groups: dict[tuple[str | int, ...], list[_Found]] = {}
    for found in (_Found(node, raw) for raw in error.errors(include_url=False)[:MAX_EXPLAINED]):
        if not (ignore_missing and found.kind in ("missing", "union_tag_not_found")):
            groups.setdefault(tuple(found.path), []).append(found)
    above = {path[:length] for path in groups for length in range(len(path))}
    result = []
    for path, group in groups.items():
        fitting = [found for found in group if not found.wrong_type]
        if not fitting and path in above:
            continue  # another branch of the union took the value and says more
        chosen = fitting or group
        owner, field = _owner(cls, node, list(path))
        names = list(kinds(owner, field)) if owner and field in owner.model_fields else []
        owner_of_list, key = None, ""
        if path and isinstance(path[-1], int):
            owner_of_list, key = _owner(cls, node, list(path[:-1]))
            names = [name for name in item_kinds(owner_of_list, key) if name] if owner_of_list else []
        if owner_of_list is not None:
            inner = item_class(owner_of_list, key, chosen[0].node)
        else:
            inner = _inner_class(owner, field) if path else cls
        text = _text(chosen, owner, field, names, keys_of(inner), dotted((*prefix, *path)))
        result.append((chosen[0].where, list(path), text + _elsewhere(chosen[0], (*prefix, *path), text)))
    return result


def _owner(cls: type[BaseModel], node: Node, path: list[str | int]) -> tuple[type[BaseModel] | None, str]:
    """Return the class that has (or should have) the last key of the path, and that key."""
    owner: type[BaseModel] | None = cls
    for index, part in enumerate(path[:-1]):
        child = node.items[part] if isinstance(part, int) else node.mapping.get(part)
        if child is None:
            return None, ""
        if isinstance(part, str) and owner is not None:
            known = part in owner.model_fields
            place = path[index + 1]
            if not known:
                owner = None
            elif isinstance(place, int):
                owner = item_class(owner, part, child.items[place]) if place < len(child.items) else None
            else:
                owner = class_of(owner, part, child)
        node = child
    return owner, str(path[-1]) if path else ""


def _inner_class(owner: type[BaseModel] | None, field: str) -> type[BaseModel] | None:
    """Return the class of the section or of the mapping that a field may hold."""
    if owner is None or field not in owner.model_fields:
        return None
    models = section_classes(owner, field) or tuple(item_kinds(owner, field).values())
    return class_of(owner, field, None) or (models[0] if models else None)


def _elsewhere(found: _Found, path: Sequence[str | int], text: str) -> str:
    """Return the hint for several values of an option, which go under `sweep`."""
    if found.where.source.startswith("--set ") or not (
        found.wrong_type
        or found.kind in ("literal_error", "enum", "union_tag_invalid", "union_tag_not_found")
    ):
        return ""
    name = found.node.get("name")
    several = name is not None and isinstance(name.value, list)
    value = name.plain if several and name is not None else found.node.plain
    return to_sweep(value, path, text.partition("allowed: ")[2])


def _text(
    group: list[_Found],
    owner: type[BaseModel] | None,
    field: str,
    names: Sequence[str],
    keys: str,
    at: str,
) -> str:
    """Return what is wrong and what is allowed.

    Args:
        group: the errors at one place.
        owner: the class that has the field.
        field: that is wrong.
        names: of the kinds that the field chooses from.
        keys: of the mapping that the field may hold, in words.
        at: the dotted key of the field.
    """
    found = group[0]
    value = found.node.plain
    if found.kind == "extra_forbidden":
        return unknown_key(field, _allowed(owner), at)
    if found.kind == "missing":
        return "missing; add it" + (f"; {one_of(names)}" if names else "")
    if found.kind in ("union_tag_invalid", "union_tag_not_found") or (found.wrong_type and names):
        return no_kind(found.node, names)
    if found.kind in ("literal_error", "enum"):
        return unknown_word(value, re.findall(r"'([^']*)'", str(found.context.get("expected", ""))))
    if found.wrong_type:
        allowed = ", or ".join(dict.fromkeys(_TYPES[one.kind] for one in group))
        mend = _mend(value, allowed, found.where)
        allowed = allowed.replace(
            "a mapping (key: value)", f"a mapping{keys}" if keys else "a mapping (key: value)"
        )
        return f"found {shown(value)}; allowed: {allowed}{mend}"
    return _constraint(found, value, _bounds(owner, field))


def _bound(found: _Found) -> str:
    name, words = _BOUNDS[found.kind]
    return f"{words} {found.context.get(name)}"


def _bounds(owner: type[BaseModel] | None, field: str) -> str:
    """Return all bounds of a number together: `at least 0 and less than 1`."""
    fields = owner.model_fields if owner else {}
    info = next((info for name, info in fields.items() if field in (name, info.alias)), None)
    texts = []
    for rule in info.metadata if info else []:
        for name, words in _BOUNDS.values():
            if (limit := getattr(rule, name, None)) is not None:
                texts.append(f"{words} {limit:g}")
    return " and ".join(texts)


def _constraint(found: _Found, value: Any, bounds: str) -> str:
    """Return the text for a value of the right type that a rule forbids."""
    if found.kind in _BOUNDS:
        return f"found {shown(value)}; allowed: {bounds or _bound(found)}"
    if found.kind == "string_pattern_mismatch":
        pattern = str(found.context.get("pattern"))
        return f"found {shown(value)}; allowed: {_PATTERNS.get(pattern, f'text that matches {pattern}')}"
    if found.kind in ("string_too_short", "too_short"):
        return f"found {shown(value)}; allowed: at least {found.context.get('min_length')} long"
    if found.kind in ("string_too_long", "too_long"):
        return f"found {shown(value)}; allowed: at most {found.context.get('max_length')} long"
    if found.kind == "value_error":
        return str(found.context.get("error", found.error["msg"]))
    return f"found {shown(value)}; {found.error['msg'][:1].lower()}{found.error['msg'][1:]}"


_PATTERNS = {
    r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$": "letters, digits, - and _, not - first, at most 100",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$": "letters, digits, -, _ and .",
}


def _mend(value: Any, allowed: str, where: Where) -> str:
    """Return a hint for the usual slips."""
    if value is None:
        return "; write a value, or leave the key out"
    if isinstance(value, str) and "number" in allowed and re.fullmatch(r"[-+.\d_eE]+", value):
        return "; write it without quotes" if "_" not in value else "; write it without '_'"
    if isinstance(value, (int, float)) and allowed == "text":
        return "; put it in quotes"
    if "a mapping" in allowed and (split := missing_space(value)):
        return f"; a space is missing after the colon; write '{split}'"
    if isinstance(value, list) and where.source.startswith("--set ") and "list" not in allowed:
        return f"; to sweep it: --set sweep.{where.source[6:]}"
    return ""


def _allowed(owner: type[BaseModel] | None) -> list[str]:
    if owner is None:
        return []
    return [field.alias or name for name, field in owner.model_fields.items()]


def unknown_word(value: Any, allowed: Sequence[str]) -> str:
    """Return the text for a word that is not allowed."""
    if isinstance(value, str):
        return f"{shown(value)} is unknown; {did_you_mean(value, allowed)}{one_of(allowed)}"
    return f"found {shown(value)}; allowed: {one_of(allowed)}"


def no_kind(node: Node, names: Sequence[str]) -> str:
    """Return the text for a section whose name is wrong or missing."""
    if isinstance(node.value, dict):
        name = node.get("name")
        if name is None:
            return f"its name is missing; add 'name: ...', {one_of(names)}"
        return _unknown_kind(name.plain, names)
    if isinstance(node.value, str):
        return _unknown_kind(node.value, names)
    return f"found {shown(node.plain)}; allowed: a name or a mapping with a name; {one_of(names)}"


def _unknown_kind(value: Any, names: Sequence[str]) -> str:
    """Return the text for a name that no registry has; one that is like no other may be the user's own."""
    own = "; your own: --plugin FILE" if isinstance(value, str) and not did_you_mean(value, names) else ""
    return unknown_word(value, names) + own

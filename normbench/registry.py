"""What normalizations, models, data sets and optimizers have in common: named options, kept in a registry.

A field of the config that chooses from a registry is annotated with the registry's `choice`. The class is
looked up when a value is validated, so that what a plug-in registers later is found like a built-in class.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from normbench.errors import NormbenchError, did_you_mean, one_of


class Options(BaseModel):
    """A section of the config. Unknown keys are refused, and types are not converted (`"3"` is no number).

    Class attributes:
        late: options that came after results were published. At their default they are left out of a run's
            id, so that earlier ids stay valid.
        aliases: old name -> name of options that were renamed. The old name stays valid in configs, and run
            ids are hashed under it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    late: ClassVar[frozenset[str]] = frozenset()
    aliases: ClassVar[Mapping[str, str]] = {}

    def __hash__(self) -> int:
        """Return a hash of the class and the options, lists and mappings among them included."""
        return hash((type(self), *map(_hashable, self.__dict__.values())))

    @model_validator(mode="before")
    @classmethod
    def _accept_old_names(cls, value: Any) -> Any:
        if not cls.aliases or not isinstance(value, dict):
            return value
        for old, new in cls.aliases.items():
            if old in value and new in value:
                raise ValueError(f"found '{old}' and '{new}', which are the same option; leave '{old}' out")
        return {cls.aliases.get(key, key): entry for key, entry in value.items()}

    def hashed(self) -> dict[str, Any]:
        """Return the options as plain data, as a run's id hashes them."""
        content = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in self.late and value == field.get_default(call_default_factory=True):
                del content[name]
            elif isinstance(value, Options):
                content[name] = value.hashed()
        for old, new in self.aliases.items():
            if new in content:
                content[old] = content.pop(new)
        return content

    def in_common(self) -> dict[str, Any]:
        """Return the options that all runs of one stack share, as plain data."""
        return self.model_dump(mode="json")


def _hashable(value: Any) -> Any:
    """Return a value that has a hash, equal for equal values; the value itself if it has one."""
    try:
        hash(value)
    except TypeError:
        if isinstance(value, Mapping):
            return frozenset((key, _hashable(entry)) for key, entry in value.items())
        if isinstance(value, (set, frozenset)):
            return frozenset(map(_hashable, value))
        if isinstance(value, (list, tuple)):
            return tuple(map(_hashable, value))
        return type(value)  # equal values have one type; their hash may be that of others, too
    return value


@dataclass(frozen=True)
class Extensible:
    """Something that plug-ins add to: what messages call an entry, all entries, and those that are ours."""

    kind: str
    entries: MutableMapping[str, Any]
    built_in: Mapping[str, Any]


_EXTENSIBLE: list[Extensible] = []


def announce(kind: str, entries: MutableMapping[str, Any]) -> None:
    """Make a registry known to the loader of plug-ins; the entries that it has now are built in.

    The loader needs no list of registries, and counts those of packages that lie above it.
    """
    _EXTENSIBLE.append(Extensible(kind, entries, dict(entries)))


def extensibles() -> tuple[Extensible, ...]:
    """Return all registries that are imported by now."""
    return tuple(_EXTENSIBLE)


class Named(Options):
    """A section that a `name` chooses from a registry; the first line of its docstring is its summary.

    A subclass declares `name: Literal["its_name"] = "its_name"` and its options as pydantic fields.

    Class attributes:
        paper: where it was published.
        short_names: further names that a config may use, such as `bn`. Subclasses do not inherit them.
    """

    name: str
    paper: ClassVar[str] = ""
    short_names: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def key(cls) -> str:
        """Return the name by which a config chooses this class."""
        return str(cls.model_fields["name"].default)

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (inspect.getdoc(cls) or "").splitlines()[0]


T = TypeVar("T", bound=Named)
_REGISTRIES: list[Registry[Any]] = []


def full_name(entries: Mapping[str, Any], name: object) -> str | None:
    """Return the entry's name that a name stands for: itself, a short name, or either in another case."""
    if not isinstance(name, str) or name in entries:
        return name if isinstance(name, str) else None
    folded = name.casefold()
    for full, cls in entries.items():
        if any(folded == own.casefold() for own in (full, *_short_names(cls))):
            return full
    return None


def refuse_taken(kind: str, entries: Mapping[str, Any], name: str, cls: type) -> None:
    """Raise a `NormbenchError` if an entry has this name, or one of the class's short names, already.

    Args:
        kind: what messages call an entry.
        entries: the classes by name.
        name: of the class that is to be added.
        cls: the class.
    """
    for own in (name, *_short_names(cls)):
        taken = full_name(entries, own)
        if taken == name and _is_again(cls, entries[name]):
            continue
        if taken == own:
            raise NormbenchError(
                f"the {kind} '{own}' is there already; a name is registered once, choose another"
            )
        if taken is not None:
            raise NormbenchError(
                f"'{own}' names the {kind} '{taken}' already (short names count, in any case); choose another"
            )


def _is_again(cls: type, before: Any) -> bool:
    """Return whether a class replaces one of the same name, since a notebook ran a cell again."""
    same = cls.__qualname__ == getattr(before, "__qualname__", None)
    return same and is_typed(cls) and is_typed(before)


def is_typed(cls: object) -> bool:
    """Return whether a class was made by a notebook or in a terminal: its module is no file on the disk."""
    module = sys.modules.get(getattr(cls, "__module__", ""))
    file = getattr(module, "__file__", None)
    return module is not None and (file is None or not os.path.exists(file))


def register(cls: type[T]) -> type[T]:
    """Add a class to the registry that its base belongs to; an error if there is none."""
    registry_for(cls).add(cls)
    return cls


def registry_for(cls: type) -> Registry[Any]:
    """Return the registry whose base a class derives from.

    Raises:
        NormbenchError: there is none.
    """
    for registry in _REGISTRIES:
        if issubclass(cls, registry.base):
            return registry
    names = ", ".join(dict.fromkeys(one.base.__name__ for one in _REGISTRIES))
    raise NormbenchError(f"{cls.__name__} derives from none of the classes that can be registered: {names}")


def _short_names(cls: object) -> tuple[str, ...]:
    return tuple(vars(cls).get("short_names", ())) if isinstance(cls, type) else ()


class Registry(Generic[T]):
    """The classes of one kind by name. To add one: write its file, add it to the list in `__init__.py`.

    Args:
        kind: what messages call an entry, such as `normalization`.
        classes: the first entries; all derive from one direct subclass of `Named`.
    """

    def __init__(self, kind: str, *classes: type[T]) -> None:
        self.kind = kind
        self.base = next(cls for cls in classes[0].__mro__ if Named in cls.__bases__)
        self.entries: dict[str, type[T]] = {}
        for cls in classes:
            self.add(cls)
        announce(kind, self.entries)
        _REGISTRIES.append(self)

    def add(self, cls: type[T]) -> type[T]:
        """Register a class under its name (also as a decorator); a name that is taken is an error."""
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            name = getattr(cls, "__name__", repr(cls))
            plain = "; or leave the line above it out: a file with one plain nn.Module needs none"
            raise NormbenchError(
                f"{name} is no {self.kind}; derive it from {self.base.__name__}"
                f"{plain if hasattr(cls, 'forward') else ''}"
            )
        field = cls.model_fields["name"]
        if get_origin(field.annotation) is not Literal or not isinstance(field.default, str):
            raise NormbenchError(
                f"{cls.__name__} has no name for configs; add a line such as "
                f'name: Literal["mine"] = "mine"  # the {self.kind}\'s name'
            )
        if not cls.__dict__.get("__doc__"):
            raise NormbenchError(
                f"{cls.__name__} has no docstring; its first line is what `normbench list` shows"
            )
        refuse_taken(self.kind, self.entries, cls.key(), cls)
        self.entries[cls.key()] = cls
        return cls

    def __getitem__(self, name: str) -> type[T]:
        full = full_name(self.entries, name)
        if full is None:
            raise NormbenchError(
                f"{self.kind}: '{name}' is unknown; {did_you_mean(name, self)}{one_of(self)}"
            )
        return self.entries[full]

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def classes(self) -> list[type[T]]:
        """Return the classes in the order of registration."""
        return list(self.entries.values())

    @property
    def choice(self) -> SectionChoice:
        """Return what annotates a field that takes any of the classes: `Annotated[Base, NORMS.choice]`."""
        return SectionChoice(self)


class SectionChoice:
    """Annotates a field whose value is a section, of the class that its `name` chooses from a registry."""

    def __init__(self, registry: Registry[Any]) -> None:
        self.registry = registry

    def validate(self, value: Any, info: core_schema.ValidationInfo) -> Any:
        """Return the section as its class.

        Raises:
            PydanticKnownError: the value is no mapping, or its name is missing or unknown.
            ValidationError: the options are wrong.
        """
        if isinstance(value, self.registry.base):
            return value
        if not isinstance(value, dict):
            raise PydanticKnownError("model_attributes_type")
        if "name" not in value:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'name'"})
        full = full_name(self.registry.entries, value["name"])
        if full is None:
            expected = ", ".join(map(repr, self.registry))
            raise PydanticKnownError(
                "union_tag_invalid",
                {"discriminator": "'name'", "tag": str(value["name"]), "expected_tags": expected},
            )
        cls, value = self.registry.entries[full], {**value, "name": full}
        if info.mode == "json":  # JSON has no tuples: its lists are taken for them
            return cls.model_validate_json(json.dumps(value))
        return cls.model_validate(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        choices = {name: cls.__pydantic_core_schema__ for name, cls in self.registry.entries.items()}
        return handler(core_schema.tagged_union_schema(choices, discriminator="name"))


class WordChoice:
    """Annotates a field whose value is a word: the name of an entry of a mapping, such as an activation."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self.entries = entries

    def validate(self, value: Any) -> str:
        """Return the word; a PydanticKnownError if it names no entry."""
        full = full_name(self.entries, value)
        if full is None:
            names = [repr(name) for name in self.entries]
            expected = f"{', '.join(names[:-1])} or {names[-1]}"
            raise PydanticKnownError("literal_error", {"expected": expected})
        return full

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": list(self.entries), "type": "string"}


def registry_of(field: FieldInfo) -> Registry[Any] | None:
    """Return the registry that a field's section is chosen from, or None."""
    return next((one.registry for one in field.metadata if isinstance(one, SectionChoice)), None)


@contextmanager
def restored(*stores: MutableMapping[str, Any]) -> Iterator[None]:
    """Put mappings back as they were when the block ends."""
    before = [dict(store) for store in stores]
    try:
        yield
    finally:
        for store, content in zip(stores, before, strict=True):
            store.clear()
            store.update(content)

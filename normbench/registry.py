"""What normalizations, models, data sets and optimisers have in common: named options, kept in a registry."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, Union, get_origin

from pydantic import BaseModel, ConfigDict, Field

from normbench.errors import NormbenchError, did_you_mean, one_of


class Options(BaseModel):
    """A section of the config. Unknown keys are refused, types are not bent (`"3"` is no number)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # Options that came after results were published: at their default they are left out of a run's id, so
    # that the ids made before stay.
    late: ClassVar[frozenset[str]] = frozenset()

    def hashed(self) -> dict[str, Any]:
        """Return the options as plain data, as a run's id hashes them."""
        content = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name in self.late and value == field.get_default(call_default_factory=True):
                del content[name]
            elif isinstance(value, Options):
                content[name] = value.hashed()
        return content

    def in_common(self) -> dict[str, Any]:
        """Return what the runs of one stack have in common of these options, as plain data."""
        return self.model_dump(mode="json")


class Named(Options):
    """A section that a `name` chooses from a registry; its first docstring line is its summary.

    A subclass declares `name: Literal["its_name"] = "its_name"` and its options as pydantic fields.
    """

    name: str
    paper: ClassVar[str] = ""

    @classmethod
    def key(cls) -> str:
        """Return the name by which a config chooses this class."""
        return str(cls.model_fields["name"].default)

    @classmethod
    def summary(cls) -> str:
        """Return the first line of the docstring."""
        return (inspect.getdoc(cls) or "").splitlines()[0]


T = TypeVar("T", bound=Named)


class Registry(Generic[T]):
    """The classes of one kind by name. To add one: write its file, add it to the list in `__init__.py`."""

    def __init__(self, kind: str, *classes: type[T]) -> None:
        self.kind = kind
        self.base = next(cls for cls in classes[0].__mro__ if Named in cls.__bases__)
        self.entries: dict[str, type[T]] = {}
        for cls in classes:
            self.add(cls)

    def add(self, cls: type[T]) -> type[T]:
        """Register a class under its name (also as a decorator); a name that is taken is an error."""
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            raise NormbenchError(f"{cls!r} is no {self.kind}; derive it from {self.base.__name__}")
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
        if cls.key() in self.entries:
            raise NormbenchError(
                f"the {self.kind} '{cls.key()}' is there already; a name is registered once, choose another"
            )
        self.entries[cls.key()] = cls
        return cls

    def __getitem__(self, name: str) -> type[T]:
        try:
            return self.entries[name]
        except KeyError:
            raise NormbenchError(
                f"{self.kind}: '{name}' is unknown; {did_you_mean(name, self)}{one_of(self)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def classes(self) -> list[type[T]]:
        """Return the classes in the order of registration."""
        return list(self.entries.values())

    def union(self) -> Any:
        """Return the pydantic type that accepts any of the classes, told apart by `name`."""
        return Annotated[Union[tuple(self.entries.values())], Field(discriminator="name")]

    def widen(self, owner: type[BaseModel], field: str) -> None:
        """Let a field that has the type of `union` take the classes that were registered since."""
        owner.model_fields[field].annotation = Union[tuple(self.entries.values())]  # type: ignore[assignment]
        owner.model_rebuild(force=True)

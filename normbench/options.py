"""What normalizations, models, data sets and optimisers have in common: named options, kept in a registry."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Generic, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field

from normbench.errors import NormbenchError, did_you_mean, one_of


class Options(BaseModel):
    """A section of the config. Unknown keys are refused, types are not bent (`"3"` is no number)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
        self._classes: dict[str, type[T]] = {}
        for cls in classes:
            self.add(cls)

    def add(self, cls: type[T]) -> type[T]:
        """Register a class under its name; a name given twice is an error."""
        if cls.key() in self._classes:
            raise NormbenchError(f"the {self.kind} '{cls.key()}' is registered twice")
        self._classes[cls.key()] = cls
        return cls

    def __getitem__(self, name: str) -> type[T]:
        try:
            return self._classes[name]
        except KeyError:
            raise NormbenchError(
                f"{self.kind}: '{name}' is unknown; {did_you_mean(name, self)}{one_of(self)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def classes(self) -> list[type[T]]:
        """Return the classes in the order of registration."""
        return list(self._classes.values())

    def union(self) -> Any:
        """Return the pydantic type that accepts any of the classes, told apart by `name`."""
        classes = tuple(self._classes.values())
        if len(classes) == 1:
            return classes[0]
        return Annotated[Union[classes], Field(discriminator="name")]

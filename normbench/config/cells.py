"""Settings out of a base and assignments: each section validated and resolved, once for equal assignments."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union, cast

from pydantic import BaseModel

from normbench.config.explain import no_kind, validate
from normbench.config.hints import to_sweep
from normbench.config.keys import Path, assign, canonical, class_of, kinds, unknown_name
from normbench.config.nodes import Node
from normbench.config.problems import Problems
from normbench.config.schema import SECTIONS, Settings
from normbench.config.sweep import Axis
from normbench.data import dataset_info
from normbench.errors import DataError, NormbenchError
from normbench.registry import full_name

Scalar = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class Cell:
    """One combination of the sweep, without its seed.

    Attributes:
        settings: all options, resolved.
        values: the resolved value of each swept column; None where the variant has no such option, and
            where the value is null.
        refining: whether it is trained only if the search for the edge of the rates asks for it.
        lacks: the swept columns that the variant does not have, or resets to null whatever they are given.
    """

    settings: Settings
    values: Mapping[str, Scalar]
    refining: bool = False
    lacks: frozenset[str] = frozenset()

    @property
    def decided(self) -> tuple[str, ...]:
        """Return the swept columns that the variant itself decides; it belongs to each of their values."""
        return tuple(key for key in self.settings.model.decides() if key in self.values)

    @cached_property
    def free(self) -> frozenset[str]:
        """Return the swept columns that it does not choose; it belongs to each of their values."""
        return self.lacks | frozenset(self.decided)


@dataclass(frozen=True)
class Choice:
    """What a combination assigns: an axis and the one of its values."""

    axis: Axis
    value: Node


@dataclass(frozen=True)
class Section:
    """A section that is validated and resolved; `token` is equal for equal content."""

    options: BaseModel
    token: str
    absent: frozenset[Path]  # swept keys that this variant does not have


class Builder:
    """Makes settings out of a base and assignments; each section is built once for equal assignments."""

    def __init__(self, base: Node, problems: Problems) -> None:
        self.base = base
        self.problems = problems
        self.sections: dict[tuple[Any, ...], Section | None] = {}
        self.pairs: dict[tuple[str, str], None] = {}
        self.applied: set[Path] = set()
        self.unsure: set[Path] = set()
        self._kinds: dict[Path, bool] = {}

    def settings(self, choices: tuple[Choice, ...]) -> tuple[Settings, dict[str, Section]] | None:
        """Return the settings of a combination, or None where something in it is wrong (and noted)."""
        own: dict[str, list[Choice]] = {name: [] for name in SECTIONS}
        for choice in choices:
            own[choice.axis.path[0]].append(choice)
        parts: dict[str, Section] = {}
        for name, chosen in own.items():
            # The sweep keeps its axes and their values, so that their ids stay theirs.
            key = (name, *[(id(choice.axis), id(choice.value)) for choice in chosen])
            if key not in self.sections:
                self.sections[key] = self.section(name, tuple(chosen))
            section = self.sections[key]
            if section is not None:
                parts[name] = section
        if len(parts) < len(SECTIONS):
            return None
        settings = construct({name: part.options for name, part in parts.items()})
        pair = (parts["data"].token, parts["train"].token)
        if pair not in self.pairs:
            self.pairs[pair] = None
            self.check_sizes(settings, choices)
        return settings, parts

    def tree(self, choices: tuple[Choice, ...]) -> tuple[Node, frozenset[Path]]:
        """Return the base with the choices applied (names of kinds first), and the keys that it lacks."""
        node, absent = self.base, set()
        for choice in sorted(
            choices, key=lambda choice: (not self._is_kind(choice.axis.path), len(choice.axis.path))
        ):
            path = choice.axis.path
            changed = assign(node, Settings, path, choice.value)
            if changed is None:
                absent.add(path)
                if unknown_name(Settings, node, path):
                    self.unsure.add(path)
            else:
                node = changed
                self.applied.add(path)
        return node, frozenset(absent)

    def _is_kind(self, path: Path) -> bool:
        if path not in self._kinds:
            self._kinds[path] = canonical(Settings, (*path, "name")) == path
        return self._kinds[path]

    def section(self, name: str, choices: tuple[Choice, ...]) -> Section | None:
        """Return a section of the settings with the choices applied, resolved."""
        root, absent = self.tree(choices)
        options = section_options(root, name, self.problems)
        if options is None:
            return None
        if hasattr(options, "resolve"):
            try:
                options = options.resolve()
            except NormbenchError as error:
                node = root.mapping[name]
                where = choices[-1].value.where if choices else node.where
                self.problems.add(where, name, str(error))
                return None
        return Section(options, options.model_dump_json(), absent)

    def check_sizes(self, settings: Settings, choices: tuple[Choice, ...]) -> None:
        """Note what the data set is too small for."""
        try:
            test = dataset_info(settings.data).test
        except DataError as error:
            key, _, text = str(error).partition(": ")
            if not key.startswith("data.") or key.split(".")[-1] not in type(settings.data).model_fields:
                return  # such as files that are not here: the training says so, which knows the right folder
        except OSError:
            return
        else:
            size = settings.train.eval_size
            if size is None or size <= test:
                return
            key, text = "train.eval_size", f"{size} is more than the {test} test images; allowed: 1 to {test}"
        path = tuple(key.split("."))
        node, section = self.tree(choices)[0].get(*path), self.base.mapping[path[0]]
        self.problems.add(node.where if node else section.where, key, text)


def construct(parts: Mapping[str, BaseModel | None]) -> Settings:
    """Return settings of sections that are validated already."""
    return Settings.model_construct(None, **cast("Any", parts))


def section_options(
    root: Node, name: str, problems: Problems, ignore_missing: bool = False
) -> BaseModel | None:
    """Return one section of the settings as its own class, or None where it is wrong.

    Args:
        root: the tree of the settings.
        name: of the section: data, model, optimizer or train.
        problems: what is wrong is noted here.
        ignore_missing: whether the section may lack what it requires, because a sweep gives it.
    """
    node = root.mapping[name]
    choice = kinds(Settings, name)
    if choice and not (ignore_missing and not node.get("name")):
        written = node.get("name")
        if written is None or not isinstance(written.value, str) or full_name(choice, written.value) is None:
            value, path = (written.plain, (name, "name")) if written else (node.plain, (name,))
            text = no_kind(node, list(choice)) + to_sweep(value, path)
            problems.add(written.where if written else node.where, name, text)
            return None
    cls = class_of(Settings, name, node)
    return validate(cls, node, problems, (name,), ignore_missing) if cls else None


class Columns:
    """The swept options of cells. Each is looked up once for each section, which cells share.

    Args:
        paths: of the swept columns.
        look_up: returns the option at a path of settings. The cells outlive this object.
    """

    def __init__(self, paths: Mapping[str, Path], look_up: Callable[[Settings, Path], Any]) -> None:
        self._look_up = look_up
        self._columns: list[tuple[str, Path, dict[int, Any]]] = [
            (key, path, {}) for key, path in paths.items()
        ]

    def of(self, settings: Settings) -> dict[str, Any]:
        """Return the options of a cell by their columns."""
        found = {}
        for key, path, known in self._columns:
            section = id(getattr(settings, path[0]))
            if section not in known:
                known[section] = self._look_up(settings, path)
            found[key] = known[section]
        return found


def owner_at(settings: BaseModel, path: Path) -> BaseModel | None:
    """Return the section with the option at a path, or None where this variant has no such option."""
    owner: Any = settings
    for place, key in enumerate(path):
        if not isinstance(owner, BaseModel) or key not in type(owner).__pydantic_fields__:
            return None
        if place < len(path) - 1:
            owner = getattr(owner, key)
    return cast("BaseModel", owner)


def value_at(settings: BaseModel, path: Path) -> Any:
    """Return the option at a path, None where it is null or where this variant has no such option."""
    owner = owner_at(settings, path)
    return None if owner is None else getattr(owner, path[-1])


def resets(settings: Settings, path: Path, value: Any) -> bool:
    """Return whether the option at a path is null even if it is given this value: it has no effect here.

    Args:
        settings: resolved.
        path: of an option that they have.
        value: another one of this option, not None.
    """
    name, *below = path
    section: Any = getattr(settings, name)
    if not hasattr(section, "resolve"):
        return False
    try:
        return value_at(_changed(section, below, value).resolve(), tuple(below)) is None
    except NormbenchError:  # the value does not fit this variant, so null is a choice
        return False


def _changed(options: Any, path: Sequence[str], value: Any) -> Any:
    """Return options of which the one at a path is another; it is not validated."""
    key, *rest = path
    return options.model_copy(update={key: _changed(getattr(options, key), rest, value) if rest else value})


def scalar_at(settings: BaseModel, path: Path) -> Scalar:
    """Return the option at a path as one cell of a table: the name of a section, a list as text."""
    value = value_at(settings, path)
    if isinstance(value, BaseModel):
        if "name" in type(value).model_fields:
            return str(value.name)  # type: ignore[attr-defined]
        value = value.model_dump(mode="json")
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value).replace('"', "")
    return value

"""The grid of a sweep: every combination, cells left out and added, equal cells merged and said so."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from normbench.config.cells import (
    Builder,
    Cell,
    Choice,
    Columns,
    Section,
    owner_at,
    resets,
    scalar_at,
    value_at,
)
from normbench.config.hints import unknown_key
from normbench.config.keys import Path, options_at
from normbench.config.nodes import Node
from normbench.config.problems import Problems, shown
from normbench.config.schema import Settings
from normbench.config.sweep import Condition, Sweep


@dataclass(frozen=True)
class Made:
    """A combination and what became of it."""

    settings: Settings
    choices: tuple[Choice, ...]
    parts: Mapping[str, Section]

    @property
    def refining(self) -> bool:
        """Return whether its rate is one between the scan points of a search."""
        return any(
            choice.value.plain in choice.axis.refining for choice in self.choices if choice.axis.refining
        )


@dataclass
class Grid:
    """The cells, and sentences about what was merged and what looks odd."""

    cells: list[Cell] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def combinations(sweep: Sweep | None) -> Iterator[tuple[tuple[Choice, ...], bool]]:
    """Yield every combination, the first axis slowest, and whether it is one that `include` adds."""
    if sweep is None:
        yield (), False
        return
    if sweep.blocks:
        rows = [
            [tuple(Choice(axis, axis.values[row]) for axis in block) for row in range(len(block[0].values))]
            for block in sweep.blocks
        ]
        for row in itertools.product(*rows):
            yield tuple(itertools.chain.from_iterable(row)), False
    for entry in sweep.include:
        choices = [[Choice(axis, value) for value in axis.values] for axis in entry]
        for combination in itertools.product(*choices):
            yield combination, True


def build_grid(base: Node, sweep: Sweep | None, problems: Problems) -> Grid:
    """Return the cells of a sweep over the base; what is wrong in base or sweep goes to `problems`."""
    builder, grid = Builder(base, problems), Grid()
    columns = sweep.columns if sweep else {}
    excluded = [0] * len(sweep.exclude if sweep else [])
    groups: dict[tuple[str, ...], list[Made]] = {}
    for choices, added in combinations(sweep):
        made = builder.settings(choices)
        if made is None:
            if problems.enough:
                break
            continue
        settings, parts = made
        if sweep and not added:
            hits = [index for index, rule in enumerate(sweep.exclude) if _matches(settings, rule)]
            for index in hits:
                excluded[index] += 1
            if hits:
                continue
        token = tuple(part.token for part in parts.values())
        groups.setdefault(token, []).append(Made(settings, choices, parts))
    if sweep:
        _check_applied(builder, sweep)
        for rule, count in zip(sweep.exclude, excluded, strict=True):
            if not count:
                grid.warnings.append(f"{rule.where}: sweep.exclude: no cell matches; nothing is left out")
        if not groups and not problems:
            problems.add(base.where, "sweep", "every cell is excluded; leave some in")
    lacks = _Lacks(columns, [made_cells[0].settings for made_cells in groups.values()])
    shown_values = Columns(columns, scalar_at)
    for made_cells in groups.values():
        settings = made_cells[0].settings
        refining = all(made.refining for made in made_cells)
        grid.cells.append(Cell(settings, shown_values.of(settings), refining, lacks.of(settings)))
    grid.merged = merge_sentences([group for group in groups.values() if len(group) > 1])
    return grid


class _Lacks:
    """Tells variants that do not have a swept option from those whose value of it is null.

    Args:
        columns: the swept columns with their paths.
        cells: the settings of all cells.
    """

    def __init__(self, columns: Mapping[str, Path], cells: Sequence[Settings]) -> None:
        values = Columns(columns, value_at)
        rows = [values.of(one) for one in cells]
        self._columns = [
            (key, path) for key, path in columns.items() if any(row[key] is None for row in rows)
        ]
        self._given = {
            key: list({repr(row[key]): row[key] for row in rows if row[key] is not None}.values())
            for key, _ in self._columns
        }
        self._known: dict[tuple[str, int], bool] = {}

    def of(self, settings: Settings) -> frozenset[str]:
        """Return the columns that these settings do not have, or reset to null whatever they are given."""
        return frozenset(key for key, path in self._columns if self._lacks(settings, key, path))

    def _lacks(self, settings: Settings, key: str, path: Path) -> bool:
        known = (key, id(getattr(settings, path[0])))  # cells share equal sections
        if known not in self._known:
            self._known[known] = owner_at(settings, path) is None or (
                value_at(settings, path) is None
                and bool(self._given[key])
                and all(resets(settings, path, value) for value in self._given[key])
            )
        return self._known[known]


def _check_applied(builder: Builder, sweep: Sweep) -> None:
    """Note swept options that no variant in this sweep has."""
    for axis in sweep.axes:
        if axis.path not in builder.applied and axis.path not in builder.unsure:
            prefix = axis.path[:-1]
            text = unknown_key(axis.path[-1], options_at(Settings, prefix))
            builder.problems.add(axis.where, f"sweep.{axis.key}", f"no variant of this sweep has it; {text}")


def merge_sentences(groups: list[list[Made]]) -> list[str]:
    """Return what was merged, one sentence for each variant and the keys that make no difference there."""
    counts: dict[tuple[str, ...], int] = {}
    words: dict[tuple[str, ...], list[dict[str, None]]] = {}
    for group in groups:
        rows = [{choice.axis.path: _word(choice.value) for choice in made.choices} for made in group]
        paths = dict.fromkeys(path for row in rows for path in row)
        differing = [path for path in paths if len({row.get(path) for row in rows}) > 1]
        label = _variant(group[0], differing)
        key = (label, *(f"{'.'.join(path)}\0{_reason(group[0], path)}" for path in differing))
        counts[key] = counts.get(key, 0) + len(group) - 1
        lists = words.setdefault(key, [{} for _ in differing])
        for values, path in zip(lists, differing, strict=True):
            values.update(dict.fromkeys(str(row[path]) for row in rows if path in row))
    sentences = []
    for key, count in counts.items():
        variant, *entries = key
        texts, reasons = [], []
        for entry, values in zip(entries, words[key], strict=True):
            name, reason = entry.split("\0")
            texts.append(f"{name} {_and(list(values))}")
            reasons.append(reason)
        what = "; ".join(texts) or "a combination given more than once"
        because = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
        cells = "1 cell" if count == 1 else f"{count} cells"
        sentences.append(f"{variant}: {what} give the same cells{because}; {cells} merged")
    return sentences


def _variant(made: Made, paths: list[Path]) -> str:
    """Return the name of what makes these keys no difference: an optimizer, a model, mostly the norm."""
    owners = [_owner(made.settings, path) for path in paths if path in made.parts[path[0]].absent]
    return ", ".join(dict.fromkeys(owners)) if owners else str(made.settings.model.norm.name)


def _owner(settings: Settings, path: Path) -> str:
    """Return the name of the innermost section on the way of a path that has one."""
    sections = (value_at(settings, path[:length]) for length in range(1, len(path)))
    return [str(value.name) for value in sections if hasattr(value, "name")][-1]


def _reason(made: Made, path: Path) -> str:
    """Return why the values of this key make no difference."""
    dotted = ".".join(path)
    if path in made.parts[path[0]].absent:
        return f"it has no {dotted}"
    value = _word_of(scalar_at(made.settings, path))
    who = "its normalization sets" if dotted in made.settings.model.norm.sets() else "resolved:"
    return f"{who} {dotted} = {value}"


def _word(node: Node) -> str:
    """Return a value as a sentence shows it."""
    name = node.get("name")
    return str(name.value) if name and len(node.mapping) == 1 else _word_of(node.plain)


def _word_of(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _and(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _matches(settings: Settings, rule: Condition) -> bool:
    """Return whether a cell has one of the wanted values for each key."""
    return all(
        owner_at(settings, path) is not None  # an option that it does not have is not null
        and any(_equal(value_at(settings, path), value) for value in values)
        for path, values in rule.wanted
    )


def _equal(have: Any, want: Node) -> bool:
    """Return whether an option is as wanted: sections by name (and the options written), numbers to 1e-9."""
    if isinstance(have, BaseModel):
        if isinstance(want.value, dict):
            return all(_equal(getattr(have, key, None), value) for key, value in want.value.items())
        return want.value == getattr(have, "name", None)
    wanted = want.plain
    if isinstance(have, bool) or isinstance(wanted, bool):
        return have is wanted
    if isinstance(have, (int, float)) and isinstance(wanted, (int, float)):
        return math.isclose(have, wanted, rel_tol=1e-9)
    return bool(have == wanted)

"""The sweep grammar: axes, blocks of axes that move together, cells left out and cells added.

sweep:
  model.norm: [none, batchnorm]                                # an axis: a list, or
  optimizer.lr: {logspace: {from: 0.001, to: 100, num: 11}}    # linspace, logspace, range; or
  # optimizer.lr: {edge: {from: 0.001, to: 100, precision: 1.1}}  # the largest rate that trains is searched
  zip: [{model.depth: [3, 5], train.steps: [500, 1000]}]       # blocks: their axes move together
  exclude: [{model.norm: none, optimizer.lr: [10, 100]}]       # cells left out of the grid
  include: [{model.norm: selu, optimizer.lr: [0.1, 1]}]        # cells added to it
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from normbench.config.axes import MAX_CELLS, axis_values
from normbench.config.hints import NOT_SWEPT, SWEEP_WORDS, unknown_key
from normbench.config.keys import Path, canonical, is_section, kinds, options_at, owners
from normbench.config.nodes import Node
from normbench.config.problems import Problems, Where, shown
from normbench.config.schema import SECTIONS, Settings

MAX_COMPARISONS = 10_000_000  # comparisons of cells with values in `exclude`; they take seconds

_WORDS = ("zip", "exclude", "include")


@dataclass(frozen=True)
class Axis:
    """A swept key and its values, each where it was written."""

    key: str  # as written; it names the column
    path: Path  # without the `name` that chooses a kind
    values: tuple[Node, ...]
    where: Where
    refining: frozenset[float] = frozenset()  # of a search for an edge: the rates that are not in its scan

    @property
    def columns(self) -> list[tuple[str, Path]]:
        """Return the columns of the records that this axis gives: itself, and the options in its mappings."""
        section = any(is_section(*owner) for owner in owners(Settings, self.path))
        if not section:
            return [(self.key, self.path)]
        named = any(kinds(*owner) for owner in owners(Settings, self.path))
        columns = {self.path: self.key} if named else {}
        for value in self.values:
            columns.update(_below(self.path, value))
        return [(key, path) for path, key in columns.items()]


def _below(path: Path, node: Node) -> dict[Path, str]:
    """Return the columns of the options in a mapping."""
    columns: dict[Path, str] = {}
    for key, child in node.mapping.items():
        inner = canonical(Settings, (*path, key))
        if inner == path:
            continue  # the name: the section's own column
        if any(is_section(*owner) for owner in owners(Settings, inner)):
            if any(kinds(*owner) for owner in owners(Settings, inner)):
                columns[inner] = ".".join(inner)
            columns.update(_below(inner, child))
        else:
            columns[inner] = ".".join((*path, key))
    return columns


Block = tuple[Axis, ...]  # axes that move together; most blocks have one


@dataclass(frozen=True)
class Condition:
    """A filter of `exclude`: every key must have one of its values."""

    wanted: tuple[tuple[Path, tuple[Node, ...]], ...]
    where: Where


@dataclass
class Sweep:
    """A sweep as written; `blocks` in the order of the file, the first varies slowest."""

    blocks: list[Block] = field(default_factory=list)
    include: list[tuple[Axis, ...]] = field(default_factory=list)
    exclude: list[Condition] = field(default_factory=list)

    @property
    def axes(self) -> list[Axis]:
        """Return every axis, those of `include` last."""
        return [axis for block in [*self.blocks, *self.include] for axis in block]

    @property
    def columns(self) -> dict[str, Path]:
        """Return the swept columns with their paths, in the order of the file, each path once."""
        names: dict[Path, str] = {}
        for axis in self.axes:
            for key, path in axis.columns:
                names.setdefault(path, key)
        return {key: path for path, key in names.items()}

    @property
    def size(self) -> int:
        """Return the number of cells before any is left out or merged."""
        grid = math.prod(len(block[0].values) for block in self.blocks) if self.blocks else 0
        return grid + sum(math.prod(len(axis.values) for axis in entry) for entry in self.include)


def parse_sweep(node: Node, problems: Problems) -> Sweep:
    """Return the sweep of a config; what is wrong in it goes to `problems`."""
    sweep = Sweep()
    if not isinstance(node.value, dict):
        text = (
            "found "
            + shown(node.plain)
            + "; allowed: a mapping {dotted key: list of values}, or leave 'sweep' out"
        )
        problems.add(node.where, "sweep", text)
        return sweep
    if not node.value:
        problems.add(
            node.where, "sweep", "empty; add a key such as 'optimizer.lr: [0.1, 1]', or leave 'sweep' out"
        )
    seen: dict[Path, Axis] = {}
    for key, child in node.value.items():
        if key == "zip":
            for index, block in _entries(child, "sweep.zip", problems):
                sweep.blocks += _zipped(block, f"sweep.zip[{index}]", seen, problems)
        elif key == "include":
            for index, entry in _entries(child, "sweep.include", problems):
                own: dict[Path, Axis] = {}
                axes = [
                    axis
                    for name, value in entry.mapping.items()
                    if (
                        axis := _axis(
                            name, value, entry, f"sweep.include[{index}]", own, problems, single=True
                        )
                    )
                ]
                sweep.include += [tuple(axes)] if axes else []
        elif key == "exclude":
            for index, entry in _entries(child, "sweep.exclude", problems):
                sweep.exclude.append(_condition(entry, f"sweep.exclude[{index}]", problems))
        else:
            axis = _axis(key, child, node, "sweep", seen, problems)
            sweep.blocks += [(axis,)] if axis else []
    searches = [axis for axis in sweep.axes if axis.refining]
    for axis in searches[1:]:
        text = f"a second edge, the first is at {searches[0].where}; allowed: one in a sweep"
        problems.add(axis.where, f"sweep.{axis.key}", text)
    if sweep.size > MAX_CELLS:
        text = f"{sweep.size:,} cells; at most {MAX_CELLS:,} are allowed; use fewer or shorter axes"
        problems.add(node.where, "sweep", text)
        return Sweep()  # building that many would only find further mistakes
    filters = sum(len(values) for rule in sweep.exclude for _, values in rule.wanted)
    if filters * sweep.size > MAX_COMPARISONS:
        text = f"{filters:,} values to exclude from {sweep.size:,} cells; write fewer, or narrower axes"
        problems.add(node.mapping["exclude"].where, "sweep.exclude", text)
        return Sweep()
    return sweep


def _entries(node: Node, name: str, problems: Problems) -> list[tuple[int, Node]]:
    """Return the mappings in the list under zip, include or exclude."""
    if not node.items:
        problems.add(
            node.where, name, f"found {shown(node.plain)}; allowed: a list of mappings {{dotted key: value}}"
        )
    good = []
    for index, entry in enumerate(node.items):
        if entry.mapping:
            good.append((index, entry))
        else:
            text = f"found {shown(entry.plain)}; allowed: a mapping {{dotted key: value}}"
            problems.add(entry.where, f"{name}[{index}]", text)
    return good


def _zipped(block: Node, name: str, seen: dict[Path, Axis], problems: Problems) -> list[Block]:
    """Return the block of axes that move together."""
    axes = [
        axis
        for key, value in block.mapping.items()
        if (axis := _axis(key, value, block, name, seen, problems))
    ]
    for axis in axes[1:]:
        if len(axis.values) != len(axes[0].values):
            problems.add(
                axis.where,
                f"{name}.{axis.key}",
                f"{len(axis.values)} values, but {axes[0].key} has {len(axes[0].values)}; "
                "axes that move together are equally long",
            )
            return []
    return [tuple(axes)] if axes else []


def _axis(
    key: str,
    node: Node,
    parent: Node,
    prefix: str,
    seen: dict[Path, Axis],
    problems: Problems,
    single: bool = False,
) -> Axis | None:
    """Return the axis of a key; with `single` one value is enough in place of a list."""
    where = parent.key_where(key)
    name = f"{prefix}.{key}"
    path = check_key(key, where, name, problems)
    if path is None:
        return None
    if ".".join(path) in NOT_SWEPT:
        problems.add(where, name, f"cannot be swept: {NOT_SWEPT['.'.join(path)]}; set it beside the sweep")
        return None
    if path in seen:
        problems.add(where, name, f"swept twice, also as '{seen[path].key}'; keep one of them")
        return None
    found = axis_values(node, name, problems, single, ".".join(path))
    values = found.nodes
    if not values:
        return None
    chooses = len(path) < len(key.split("."))  # a final `name`
    if chooses and any(not isinstance(value.value, str) for value in values):
        wrong = next(value for value in values if not isinstance(value.value, str))
        text = f"found {shown(wrong.plain)}; allowed: a name; a mapping goes under '{'.'.join(path)}'"
        problems.add(wrong.where, name, text)
        return None
    seen[path] = Axis(key, path, values, where, found.refining)
    return seen[path]


def check_key(key: str, where: Where, name: str, problems: Problems) -> Path | None:
    """Return the path of a dotted key that some kind has, or note what is wrong with it.

    Args:
        key: as written.
        where: the place of the key.
        name: what messages call it, such as `sweep.model.norm`.
        problems: what is wrong is noted here.
    """
    path = tuple(key.split("."))
    if path[0] == "seeds":
        problems.add(
            where, name, "seeds are no axis of a sweep; write 'seeds: [0, 1, 2]' at the top of the file"
        )
        return None
    if key in SWEEP_WORDS and name == f"sweep.{key}":
        problems.add(where, name, f"'{key}' is not needed here: {SWEEP_WORDS[key]}")
        return None
    if path[0] not in SECTIONS:
        allowed = [*SECTIONS, *(_WORDS if name == f"sweep.{key}" else ())]
        hint = unknown_key(key if len(path) == 1 else path[0], allowed)
        problems.add(where, name, f"{hint}; keys are dotted, such as model.depth")
        return None
    if path == ("train",) or any(not part for part in path):
        problems.add(where, name, f"{one_below(path)}; name an option, such as train.steps")
        return None
    if not any(True for _ in owners(Settings, path)):
        for length in range(1, len(path) + 1):
            if not any(True for _ in owners(Settings, path[:length])):
                problems.add(
                    where, name, unknown_key(path[length - 1], options_at(Settings, path[: length - 1]))
                )
                return None
    return canonical(Settings, path)


def one_below(path: Path) -> str:
    """Return what is wrong with a key that names no option."""
    return f"'{'.'.join(path)}' is a whole section" if all(path) else f"'{'.'.join(path)}' has an empty part"


def _condition(entry: Node, name: str, problems: Problems) -> Condition:
    """Return the filter of an `exclude` entry."""
    wanted = []
    for key, node in entry.mapping.items():
        path = check_key(key, entry.key_where(key), f"{name}.{key}", problems)
        values = axis_values(node, f"{name}.{key}", problems, single=True).nodes
        if path and values:
            wanted.append((path, values))
    return Condition(tuple(wanted), entry.where)

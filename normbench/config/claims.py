"""Claims held against the grid before anything is trained: keys, groups, seeds, measures and their probes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.config.cells import Cell
from normbench.config.members import belongs
from normbench.config.nodes import Node
from normbench.config.problems import Problems, Where
from normbench.config.schema import Header
from normbench.config.sweep import check_key
from normbench.errors import did_you_mean, one_of
from normbench.measures import Measure
from normbench.measures.claim import TRENDS, Claim, fits, listed, values_of
from normbench.names import RATE


def check_claims(root: Node, header: Header, problems: Problems) -> None:
    """Note ids given twice, a second primary claim, and keys that no setting has."""
    ids: set[str] = set()
    primary: str | None = None
    for index, (claim, node) in enumerate(_pairs(root, header)):
        if claim.primary and primary is not None:
            text = f"claim '{primary}' is primary already; allowed: one in a file; leave it out here"
            problems.add(node.mapping["primary"].where, f"claims[{index}].primary", text)
        primary = claim.id if claim.primary else primary
        if claim.id in ids:
            text = f"'{claim.id}' is also the id of an earlier claim; make it unique, such as '{claim.id}-2'"
            problems.add(node.mapping["id"].where, f"claims[{index}].id", text)
        ids.add(claim.id)
        for key, where, name in _named(node):
            if key != "seed":
                check_key(key, where, f"claims[{index}].{name}", problems)


def check_decide(root: Node, header: Header, problems: Problems) -> None:
    """Note that `decide` has nothing that seeds could decide: no claims, no primary one, claims on seeds."""
    if header.decide is None:
        return
    node, at = root.mapping["decide"], root.key_where("decide")
    if not header.claims:
        text = "there are no claims to decide; write some (`normbench init claim`), or leave `decide` out"
        problems.add(at, "decide", text)
    elif header.decide.claims == "primary" and not any(claim.primary for claim in header.claims):
        text = "found 'primary', and no claim is; write `primary: true` in one of them, or 'all' here"
        problems.add(node.mapping["claims"].where, "decide.claims", text)
    for index, (claim, one) in enumerate(_pairs(root, header)):
        for key, where, name in _named(one):
            if key == "seed":
                text = (
                    f"'seed': `decide` adds seeds, and more of them cannot decide {claim.id}, which names "
                    "some; take 'seed' out here, or leave `decide` out"
                )
                problems.add(where, f"claims[{index}].{name}", text)


def check_groups(
    root: Node, header: Header, cells: Sequence[Cell], columns: Sequence[str], problems: Problems
) -> None:
    """Note what no result could decide: empty groups, no shared seeds, probes that are off.

    Args:
        root: the tree of the config.
        header: its claims, seeds and probes.
        cells: of the sweep.
        columns: the swept keys.
        problems: what is wrong is noted here.
    """
    if not header.claims:
        return
    choices = [*columns, "seed"]
    for index, (claim, node) in enumerate(_pairs(root, header)):
        prefix, before = f"claims[{index}]", len(problems.texts())
        for key, where, name in _named(node):
            if key not in choices:
                text = f"'{key}' is not swept here; {did_you_mean(key, choices)}{one_of(choices)}"
                problems.add(where, f"{prefix}.{name}", text)
        _check_measure(claim, node, header, cells, columns, prefix, problems)
        if len(problems.texts()) == before:
            _check_members(claim, node, header.seed_list, cells, prefix, problems)


def _pairs(root: Node, header: Header) -> list[tuple[Claim, Node]]:
    return list(zip(header.claims, root.mapping["claims"].items, strict=True)) if header.claims else []


def _filters(node: Node) -> list[tuple[str, Node]]:
    """Return the filters of a claim with their names."""
    control = node.get("control")
    named = [(name, node.get(name)) for name in ("of", "against")]
    if (against := node.get("against")) is not None and "value" in against.mapping:
        named = named[:1]  # a number, not runs
    named += [(f"control[{place}]", item) for place, item in enumerate(control.items if control else [])]
    if (contrast := node.get("contrast")) is not None:
        named += [(f"contrast.{name}", contrast.get(name)) for name in ("of", "against")]
    return [(name, item) for name, item in named if item is not None and item.mapping]


def _named(node: Node) -> list[tuple[str, Where, str]]:
    """Return every key that a claim names, where, and under which name."""
    found = [
        (key, group.key_where(key), f"{name}.{key}")
        for name, group in _filters(node)
        for key in group.mapping
    ]
    over, each = node.get("over"), node.get("for_each")
    single = [("over", over)] if over else []
    single += [("for_each", item) for item in (each.items if each else [])]
    return found + [(item.value, item.where, name) for name, item in single if isinstance(item.value, str)]


def _check_measure(
    claim: Claim,
    node: Node,
    header: Header,
    cells: Sequence[Cell],
    columns: Sequence[str],
    prefix: str,
    problems: Problems,
) -> None:
    measure: Measure = claim.measure
    where = node.mapping["measure"].where
    probes = [probe.name for probe in header.probes]
    if text := measure.problem(probes):
        problems.add(where, f"{prefix}.measure", text)
    if measure.over_rates and RATE not in columns:
        text = f"{measure.key()} looks at several rates, and {RATE} is not swept; add it to the sweep"
        problems.add(where, f"{prefix}.measure", text)
    if getattr(measure, "part", "test") == "val":
        sizes = {getattr(cell.settings.data, "val_size", 0) for cell in cells}
        if sizes == {0}:
            text = "there is no validation split; set data.val_size, or take another part"
            problems.add(where, f"{prefix}.measure", text)


def _check_members(
    claim: Claim,
    node: Node,
    seeds: Sequence[int],
    cells: Sequence[Cell],
    prefix: str,
    problems: Problems,
) -> None:
    members: dict[str, list[int]] = {}
    own_seeds: dict[str, set[int]] = {}
    for name, wanted in [*claim.groups.items(), *_control_filters(claim)]:
        group = node.get(name.split("[")[0].split(" ")[0])
        where = group.where if group else node.where
        own_seeds[name] = {seed for seed in seeds if fits(seed, wanted.get("seed", seed))}
        members[name] = [place for place, cell in enumerate(cells) if belongs(cell, wanted)]
        if not own_seeds[name]:
            problems.add(where, f"{prefix}.{name}", f"no seed is in it; there are: {listed(seeds)}")
        if not members[name]:
            problems.add(
                where, f"{prefix}.{name}", f"no cell of the sweep is in it; {_reason(wanted, cells)}"
            )
    for name, other in itertools.combinations(claim.groups, 2):
        if not (members[name] and members[other] and own_seeds[name] and own_seeds[other]):
            continue
        where = node.mapping["against"].where
        if not own_seeds[name] & own_seeds[other]:
            text = (
                f"shares no seed with '{name}' ({listed(sorted(own_seeds[other]))} and "
                f"{listed(sorted(own_seeds[name]))}); runs are compared in pairs of equal seed"
            )
            problems.add(where, f"{prefix}.{other}", text)
        if set(members[name]) & set(members[other]):
            text = f"has cells that '{name}' also has; a run is not compared with itself: name what differs"
            problems.add(where, f"{prefix}.{other}", text)
    if claim.over is not None and members["of"]:
        _check_axis(claim, node, [cells[place] for place in members["of"]], prefix, problems)


def _control_filters(claim: Claim) -> list[tuple[str, dict[str, Any]]]:
    control = claim.control or []
    return [(f"control[{place}]", one) for place, one in enumerate(control) if isinstance(one, dict)]


def _check_axis(claim: Claim, node: Node, cells: Sequence[Cell], prefix: str, problems: Problems) -> None:
    """Note a trend over words or null, or over a single value."""
    over = claim.over or ""
    found = list(dict.fromkeys(cell.values[over] for cell in cells if over not in cell.lacks))
    where = node.mapping["over"].where
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in found)
    if not numbers:
        text = f"has the values {listed(found)}; a trend ({' or '.join(TRENDS)}) needs an axis of numbers"
        problems.add(where, f"{prefix}.over", text)
    elif len(found) < 2:
        problems.add(
            where, f"{prefix}.over", f"has only the value {listed(found)}; a trend needs at least two"
        )


def _reason(wanted: Mapping[str, Any], cells: Sequence[Cell]) -> str:
    """Return which value the sweep does not have, or that it has no such combination."""
    for key, want in wanted.items():
        present = [cell.values[key] for cell in cells if key != "seed" and key not in cell.lacks]
        if key != "seed" and not any(fits(value, want) for value in present):
            return f"{key} is never {listed(values_of(want))}; there are: {listed(present)}"
    return (
        f"it has no cell with {', '.join(f'{key} {listed(values_of(want))}' for key, want in wanted.items())}"
    )

"""Which cells of a sweep a claim is about: those of its groups and controls, for each of its verdicts.

A cell that does not choose a key (SELU sets the activation; a net without a normalization has no epsilon)
belongs to every value of it, as in the analysis. Null is a value: a cell with the option `ghost: null`
belongs to a filter that says null, and to no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.config.cells import Cell
from normbench.measures.claim import Claim, fits

At = Mapping[str, Any]  # the values of the keys of `for_each`


def belongs(cell: Cell, wanted: Mapping[str, Any]) -> bool:
    """Return whether a cell has one of the wanted values for each key; seeds are not looked at."""
    return all(
        key == "seed" or key in cell.free or fits(cell.values[key], want) for key, want in wanted.items()
    )


def members(claim: Claim, at: At, cells: Sequence[Cell]) -> list[int]:
    """Return the places of the cells whose runs can change the verdict on a claim for these values."""
    filters = [*claim.groups.values(), *(wanted for _, wanted in claim.controls)]
    return [
        place
        for place, cell in enumerate(cells)
        if any(belongs(cell, wanted) and belongs(cell, _part(claim, wanted, at)) for wanted in filters)
    ]


def verdicts_of(claim: Claim, cells: Sequence[Cell]) -> list[At]:
    """Return the values of `for_each` that its groups have; a verdict is planned for each."""
    values: list[list[Any]] = []
    groups = [wanted for wanted in claim.groups.values() if claim.varies(wanted) == claim.for_each]
    mine = [cell for cell in cells if any(belongs(cell, wanted) for wanted in groups)]
    for key in claim.for_each:
        own: list[Any] = []
        for value in (cell.values[key] for cell in mine if key not in cell.free):
            if value not in own:
                own.append(value)
        values.append(own)
    rows = (dict(zip(claim.for_each, row, strict=True)) for row in itertools.product(*values))
    return [at for at in rows if any(belongs(cell, at) for cell in mine)] or [{}]


def _part(claim: Claim, wanted: Mapping[str, Any], at: At) -> dict[str, Any]:
    """Return the values of `for_each` by which this group changes."""
    return {key: at[key] for key in claim.varies(dict(wanted)) if key in at}

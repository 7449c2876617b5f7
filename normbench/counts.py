"""Numbers of things in sentences."""

from __future__ import annotations

from typing import Literal

_OF_ONE = {"have": "has", "are": "is", "were": "was"}


def counted(number: int, thing: str, verb: Literal["", "have", "are", "were"] = "") -> str:
    """Return `1 run` or `1,200 runs`; with a verb, `1 run has` or `1,200 runs have`."""
    text = f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
    return f"{text} {_OF_ONE[verb] if number == 1 else verb}" if verb else text

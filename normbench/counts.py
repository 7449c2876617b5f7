"""Numbers of things in sentences."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """Return `1 run` or `1,200 runs`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"

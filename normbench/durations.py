"""Times as a user writes them: `90s`, `30m`, `2h`."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as `90s`, `30m` or `2h`; ValueError if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip(), re.ASCII)
    if found is None or not float(found[1]):
        raise ValueError(f"found '{text}'; allowed: a time above 0 such as 90s, 30m or 2h")
    return float(found[1]) * _SECONDS[found[2]]

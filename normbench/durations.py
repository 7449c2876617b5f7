"""Times as a user writes them: `90s`, `30m`, `2h`, and with longer words such as `2min`."""

from __future__ import annotations

import re

_SECONDS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
}


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as `90s`, `30m`, `2h` or `2min`; ValueError if it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip(), re.ASCII)
    if found is None or found[2] not in _SECONDS or not float(found[1]):
        raise ValueError(f"found '{text}'; allowed: a time above 0 such as 90s, 30m or 2h")
    return float(found[1]) * _SECONDS[found[2]]

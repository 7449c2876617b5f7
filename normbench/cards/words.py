"""Numbers, ranks and comparisons of a card as short text."""

from __future__ import annotations

import math

from normbench.analysis.variants import number
from normbench.cards.card import Comparison, Entry, Number, Row

_PREFIXES = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")), "bytes": ((1e6, "MB"), (1e3, "kB"), (1.0, "B"))}


def shown(value: float, unit: str) -> str:
    """Return a number with its unit; ∞ and an empty text where it is infinite or unknown."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit in ("share", "points"):
        text = f"{100 * value:.1f}"
        return f"{text} %" if unit == "share" else "0.0" if text == "-0.0" else text
    if unit == "steps":
        return f"{value:,.0f}"
    if unit in _PREFIXES:
        size, name = next((one for one in _PREFIXES[unit] if abs(value) >= one[0]), _PREFIXES[unit][-1])
        return f"{value / size:.3g} {name}"
    return number(float(f"{value:.3g}"))


def interval(one: Number, unit: str) -> str:
    """Return `[low, high]`; empty if there is none. A share ends at 0 and 1."""
    low, high = one.low, one.high
    if math.isnan(low) and math.isnan(high):
        return ""
    if unit == "share":
        low, high = max(low, 0.0), min(high, 1.0)
    ends = [shown(end, unit) or "?" for end in (low, high)]
    return f"[{', '.join(ends)}]"


def rank(entry: Entry) -> str:
    """Return `2`, or `1-3` where ranks are shared; empty if there is none."""
    if entry.best is None or entry.worst is None:
        return ""
    return str(entry.best) if entry.best == entry.worst else f"{entry.best}-{entry.worst}"


def lines(entry: Entry, row: Row) -> tuple[str, str]:
    """Return value and interval, then n and rank; without a value the reason and an empty text."""
    if not entry.value.known:
        return entry.why, ""
    value = [shown(entry.value.estimate, row.unit), interval(entry.value, row.unit)]
    counts = [f"n = {entry.value.n}"] + [f"rank {rank(entry)}"] * bool(rank(entry))
    return " ".join(filter(None, value)), ", ".join(counts)


def title(row: Row) -> str:
    """Return the title of a row with its unit, where numbers do not show it."""
    unit = {"decades": "decades", "nats": "nats", "points": "points"}.get(row.unit, "")
    return f"{row.title}, {unit}" if unit else row.title


def change(row: Row, entry: Entry) -> str:
    """Return the change from the standard setting: `-3.1 [-5, -1.2] points from batch size 64`."""
    if entry.change is None or not entry.change.known:
        return ""
    text = f"{_signed(entry.change.estimate)} {_signed_interval(entry.change)}".strip()
    return f"{text} points from {row.standard}"


def difference(one: Comparison) -> str:
    """Return a comparison with another normalization: `1.76x [1.67x, 1.85x] of none, n = 6`."""
    found, row = one.difference, one.row
    if row.by == "ratio" and found.estimate in (0.0, math.inf):  # one of the two has no ratio to anything
        own, other = (shown(entry.value.estimate, row.unit) for entry in (one.own, row.of(one.other)))
        text = f"{own} against {other} of {one.other}"
    elif row.by == "ratio":
        text = f"{_ratio(found.estimate)} [{_ratio(found.low)}, {_ratio(found.high)}] that of {one.other}"
    elif row.unit in ("share", "points"):
        text = f"{_signed(found.estimate)} {_signed_interval(found)} points against {one.other}"
    else:
        ends = [_plus(end) for end in (found.low, found.high)]
        text = f"{_plus(found.estimate)} [{', '.join(ends)}] {row.unit} against {one.other}"
    return f"{text}, n = {found.n}"


def _ratio(value: float) -> str:
    """Return `1.76x`; near 1 with as many decimals as show that it is not 1: `1.005x`."""
    text = shown(value, "")
    if text == "1":
        longer = (f"{value:.{places}f}" for places in range(3, 10))
        text = next((one for one in longer if float(one) != 1), text)
    return f"{text}x"


def _signed(value: float) -> str:
    if not math.isfinite(value):
        return shown(value, "") or "?"
    text = f"{100 * value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def _signed_interval(one: Number) -> str:
    if math.isnan(one.low) and math.isnan(one.high):
        return ""
    return f"[{_signed(one.low)}, {_signed(one.high)}]"


def _plus(value: float) -> str:
    text = shown(value, "") or "?"
    return text if text.startswith(("-", "?")) or value == 0 else f"+{text}"

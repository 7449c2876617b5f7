"""SVG as text: elements with escaped attributes, short coordinates, lines through points."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from markupsafe import Markup, escape


def tag(name: str, *children: Any, **attributes: Any) -> Markup:
    """Return an element. Text and attributes are escaped; those that are None are left out.

    Args:
        name: of the element.
        children: elements, or text.
        attributes: by name, `_` for `-`; a trailing `_` is dropped (`class_`).
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escape(value)}"')
    start = " ".join(words)
    if not children:
        return Markup(f"<{start}/>")
    return Markup(f"<{start}>{Markup('').join(children)}</{name}>")


def places(value: float) -> str:
    """Return a coordinate with one decimal at most."""
    text = f"{value:.1f}"
    text = text[:-2] if text.endswith(".0") else text
    return "0" if text == "-0" else text


def through(xs: np.ndarray, ys: np.ndarray) -> str:
    """Return the path through points; it is broken where a point is not finite. Steps are relative."""
    words: list[str] = []
    pen, here = "", (0, 0)
    known = np.isfinite(xs) & np.isfinite(ys)
    tenths = np.rint(np.where(known, [xs, ys], 0.0) * 10).astype(int).T.tolist()
    for (x, y), there in zip(tenths, known.tolist(), strict=True):
        if not there:
            pen = ""
            continue
        if not pen:
            words += ["M", _tenths(x), _tenths(y)]
            pen = "M"
        else:
            words += ["l"] * (pen == "M") + [_tenths(x - here[0]), _tenths(y - here[1])]
            pen = "l"
        here = (x, y)
    return _joined(words)


def _joined(words: Iterable[str]) -> str:
    """Return numbers and letters with spaces only where a reader needs them."""
    found, before = [], "M"
    for word in words:
        needed = before not in "Ml" and word not in "Ml" and word[0] != "-"
        found.append(f" {word}" if needed and not (word[0] == "." and "." in before) else word)
        before = word
    return "".join(found)


def inside(xs: np.ndarray, ys: np.ndarray, top: float, bottom: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a line cut where it leaves a range of heights; NaN where it is outside.

    Args:
        xs: pixels.
        ys: pixels; NaN where there is no value.
        top: the least pixel.
        bottom: the greatest one.
    """
    if not ((ys < top) | (ys > bottom)).any():
        return xs, ys
    px, py = [xs[0]], [ys[0]]
    for i in range(1, len(xs)):
        for edge in (top, bottom) if ys[i] > ys[i - 1] else (bottom, top):
            share = (edge - ys[i - 1]) / ((ys[i] - ys[i - 1]) or 1.0)
            if 0 < share < 1:
                px.append(xs[i - 1] + share * (xs[i] - xs[i - 1]))
                py.append(edge)
        px.append(xs[i])
        py.append(ys[i])
    made = np.array(py)
    return np.array(px), np.where((made < top) | (made > bottom), np.nan, made)


def around(xs: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> str:
    """Return the outline of a band; points without both ends are left out."""
    known = np.isfinite(xs) & np.isfinite(lows) & np.isfinite(highs)
    if known.sum() < 2:
        return ""
    x = xs[known]
    return through(np.append(x, x[::-1]), np.append(highs[known], lows[known][::-1])) + "z"


def _tenths(value: int) -> str:
    """Return a number of tenths as short text for SVG: 3 gives `.3`, 20 gives `2`."""
    whole, rest = divmod(abs(value), 10)
    text = f"{whole or (0 if not rest else '')}{f'.{rest}' if rest else ''}"
    return f"-{text}" if value < 0 else text

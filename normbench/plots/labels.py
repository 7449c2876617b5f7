"""Breaks labels into lines by measuring them, so that no label is cut off."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from normbench.plots.style import clean

LINE = 0.125  # inches between two lines of names that are turned by 90 degrees


@lru_cache(maxsize=1)
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return FigureCanvasAgg(Figure(dpi=100)).get_renderer()


@lru_cache(maxsize=4096)
def width(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of one line of text in inches."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(size=size, weight=weight)
    return float(_renderer().get_text_width_height_descent(text, font, False)[0]) / 100


def wrap(text: str, inches: float, size: float, weight: str = "normal") -> list[str]:
    """Break a text at its spaces. A word that is too wide is broken too, after underscores if it has any.

    Args:
        text: to break.
        inches: the width of a line.
        size: of the font, in points.
        weight: of the font.
    """
    words = clean(text).split()
    if not words or width(" ".join(words), size, weight) <= inches:
        return [" ".join(words)]
    lines = [""]
    for word in words:
        for i, piece in enumerate(_pieces(word, inches, size, weight)):
            joined = lines[-1] + (" " if lines[-1] and not i else "") + piece
            if not lines[-1] or width(joined, size, weight) <= inches:
                lines[-1] = joined
            else:
                lines.append(piece)
    return lines


def _pieces(word: str, inches: float, size: float, weight: str) -> list[str]:
    if width(word, size, weight) <= inches:
        return [word]
    return [
        piece
        for part in re.findall(r"[^_]*_|[^_]+", word)
        for piece in ([part] if width(part, size, weight) <= inches else part)
    ]


def balanced(text: str, inches: float, size: float) -> list[str]:
    """Break a text into as few lines as possible, of nearly equal length."""
    lines = wrap(text, inches, size)
    while inches > 0.5:
        inches -= 0.1
        narrower = wrap(text, inches, size)
        if len(narrower) > len(lines) or any(width(w, size) > inches for w in clean(text).split()):
            break
        lines = narrower
    return lines


def parts(text: str, inches: float, size: float) -> list[str]:
    """Break a text that is too wide after its commas, as in `depth 3, activation relu`.

    It is broken elsewhere if a piece is still too wide, or if that takes fewer lines, as in a sentence.
    """
    if width(clean(text), size) <= inches:
        return [clean(text)]
    pieces = clean(text).split(", ")
    pieces = [f"{piece}," for piece in pieces[:-1]] + pieces[-1:]
    anywhere = balanced(text, inches, size)
    if len(anywhere) < len(pieces) or any(width(piece, size) > inches for piece in pieces):
        return anywhere
    return pieces


def unbroken(text: str, inches: float, size: float) -> bool:
    """Return whether every word fits whole."""
    return all(width(word, size) <= inches for word in clean(text).split())


def turned(names: Sequence[str], inches: float, size: float) -> bool:
    """Return whether names below a panel of this width must be turned, because they would touch."""
    return (max(width(clean(name), size) for name in names) + 0.1) * len(names) > inches

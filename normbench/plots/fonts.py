"""Fonts for titles and names in other scripts, among those that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

FAMILY = "DejaVu Sans"  # comes with matplotlib
MISSING = "\N{WHITE SQUARE}"  # stands for a character that no installed font has
_UNASSIGNED = 0x0378  # a font that has it draws placeholders for all characters, as Last Resort does
NOTE = f"{MISSING}: a character that no installed font has; install a font for its script, such as Noto Sans"


def families(text: str) -> list[str]:
    """Return the fonts that draw a text: the house font, then others for the characters that it lacks."""
    found = {FAMILY: None}
    for char in sorted(set(text)):
        family = _family_of(char)
        if family is not None:
            found.setdefault(family, None)
    return list(found)


def drawable(text: str) -> str:
    """Return the text with a square for each character that no installed font has."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() or _family_of(char) is not None else MISSING for char in text)


def missing(text: str) -> str:
    """Return the characters of a text that no installed font has; empty if all can be drawn."""
    shown = dict.fromkeys(filter(str.isprintable, text))
    return "".join(char for char in shown if not char.isascii() and _family_of(char) is None)


def note(texts: Iterable[str]) -> str:
    """Return a sentence if some character of these texts cannot be drawn; otherwise an empty string."""
    shown = ("".join(filter(str.isprintable, text)) for text in texts)
    return NOTE if any(MISSING in drawable(text) and MISSING not in text for text in shown) else ""


@lru_cache(maxsize=4096)
def _family_of(char: str) -> str | None:
    """Return the first font that has a character, the house font before all others; None if none has it."""
    if char.isascii():
        return FAMILY
    code = ord(char)
    return next((family for family, characters in _installed() if code in characters), None)


@lru_cache(maxsize=1)
def _installed() -> list[tuple[str, frozenset[int]]]:
    """Return each family of fonts that can be scaled, with its characters; read when a text needs it."""
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font

    own = findfont(FAMILY)
    upright = {
        entry.name: entry.fname
        for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname), reverse=True)
        if entry.style == "normal" and entry.name != FAMILY
    }
    result = []
    for family, path in ((FAMILY, own), *sorted(upright.items())):
        try:
            font = FT2Font(path)
            characters = frozenset(font.get_charmap())
        except (OSError, RuntimeError, ValueError):  # damaged, or of a kind that matplotlib cannot read
            continue
        if font.scalable and _UNASSIGNED not in characters:
            result.append((family, characters))
    return result

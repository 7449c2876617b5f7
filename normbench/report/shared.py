"""What all pictures of a page share: the classes of colors and the shapes of marks, each written once."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from normbench.report.svg import places, tag

DARK = (0.09, 0.10, 0.12)  # the dark page, as red, green and blue from 0 to 1
READABLE = 3.6  # contrast that a line has on the dark page, at least


class Shared:
    """Collects colors and marks while the pictures are made; the page writes them once."""

    def __init__(self) -> None:
        self._colors: dict[str, str] = {}
        self._marks: dict[tuple[str, float], str] = {}
        self._shapes: list[Markup] = []

    def color(self, color: Any) -> str:
        """Return the class that paints in a color of matplotlib."""
        from matplotlib.colors import to_hex

        name = to_hex(color)
        return self._colors.setdefault(name, f"k{len(self._colors)}")

    def mark(self, marker: Any, size: float) -> str:
        """Return the id of a mark of matplotlib in a size, in pixels."""
        key = (str(marker) if isinstance(marker, str) else repr(marker), size)
        if key not in self._marks:
            self._marks[key] = f"m{len(self._marks)}"
            self._shapes.append(_shape(marker, size, self._marks[key]))
        return self._marks[key]

    @property
    def style(self) -> Markup:
        """Return the rules of the colors, for the light and the dark page."""
        rules = (
            f".{name}{{--k:light-dark({color},{on_dark(color)})}}" for color, name in self._colors.items()
        )
        return Markup("".join(rules))

    @property
    def shapes(self) -> Markup:
        """Return the definitions of the marks."""
        return Markup("").join(self._shapes)


def on_dark(color: str) -> str:
    """Return a color as it is on the dark page: lighter if it would be lost there; black becomes white."""
    from matplotlib.colors import to_hex, to_rgb

    red, green, blue = to_rgb(color)
    if max(red, green, blue) - min(red, green, blue) < 0.02:  # gray: as far from the page as before
        gray = 1 - 0.92 * red
        return to_hex((gray, gray, gray))
    for share in range(0, 21):
        mixed = tuple(value + (1 - value) * share / 20 for value in (red, green, blue))
        if contrast(mixed, DARK) >= READABLE:
            break
    return to_hex((mixed[0], mixed[1], mixed[2]))


def contrast(one: Any, other: Any) -> float:
    """Return the contrast of two colors, from 1 (equal) to 21, as WCAG defines it."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(color: Any) -> float:
    parts = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in color]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def _shape(marker: Any, size: float, name: str) -> Markup:
    """Return a mark as a shape around 0, 0."""
    if marker == "o":
        return tag("circle", id=name, r=places(size / 2))
    from matplotlib.markers import MarkerStyle

    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    words = []
    for points, code in path.iter_segments(curves=False, simplify=False):
        x, y = points[-2:] * size
        if code == 79:  # the end of a closed part
            words.append("Z")
        else:
            words.append(f"{'M' if code == 1 else 'L'}{places(x)} {places(-y)}")
    return tag("path", id=name, d="".join(words))

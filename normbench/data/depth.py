"""How many bits the pixels of an image file have, and whether the file says which value is white."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

SIXTEEN = re.compile(r";16[BLNR]?$")  # names of Pillow's layouts, such as I;16B and RGB;16L
SIGNED_OR_32 = re.compile(r";(16B?S|32)")
PHOTOMETRIC = 262  # the TIFF tag whose value 0 stands for WhiteIsZero


@dataclass(frozen=True)
class Depth:
    """Bits of one color of a pixel, whether white is 2^bits - 1 for sure, and whether 0 is white."""

    bits: int
    white_known: bool
    inverted: bool = False


def stored_depth(file: Any) -> Depth:
    """Return the depth of an image that Pillow has opened and not read yet.

    PNG and TIFF files say how wide a value is, not how much of it is in use: the tags for that (sBIT,
    MaxSampleValue) do not change which value is white. PGM and PPM files name their white, and Pillow scales
    by it.
    """
    decoder, layout, white = _tile(file)
    if decoder.startswith("ppm") and white > 255:
        return Depth(16, white_known=white < 65535)
    if layout == "I;12":
        return Depth(12, white_known=True)
    inverted = getattr(file, "tag_v2", {}).get(PHOTOMETRIC) == 0
    if file.mode == "I" and (SIGNED_OR_32.search(layout) or not SIXTEEN.search(layout)):
        return Depth(32, white_known=False, inverted=inverted)
    grey = file.mode.startswith("I")
    if grey or (SIXTEEN.search(layout) and not layout.startswith("BGR;")):
        return Depth(16, white_known=False, inverted=grey and inverted)
    return Depth(8, white_known=True)  # BGR;16 packs three colors into 16 bits


def _tile(file: Any) -> tuple[str, str, int]:
    """Return the names of Pillow's decoder and layout of the pixels, and the white of PGM and PPM."""
    tiles = getattr(file, "tile", None)
    if not tiles:
        return "", "", 0
    decoder, args = tiles[0][0], tiles[0][3]
    if isinstance(args, str):
        return decoder, args, 0
    layout = args[0] if args and isinstance(args[0], str) else ""
    white = args[1] if len(args) > 1 and isinstance(args[1], int) else 0
    return decoder, layout, white

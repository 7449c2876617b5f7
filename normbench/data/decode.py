"""Decode many image files of any kind to uint8 arrays.

This uses threads, not processes: Pillow releases the interpreter lock while it decodes. For tiny images that
gains nothing, but processes gain nothing either (60,000 JPEGs of 32x32 take about 6 s both ways).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from normbench.counts import counted
from normbench.data.base import Progress
from normbench.data.depth import Depth, stored_depth
from normbench.data.listing import in_threads, shown
from normbench.errors import DataError

Color = Literal["rgb", "grey"]
WHITE = (255, 255, 255, 255)


@dataclass(frozen=True)
class Seen:
    """The largest value of an image of 16 bits that does not say its white.

    Of colors Pillow keeps the upper 8 bits alone; `whole` is false then.
    """

    value: int
    whole: bool


class Unfit(ValueError):
    """An intact image whose pixels cannot be taken; the text says why."""


def decode(path: Path, size: tuple[int, int] | None, color: Color, bits: int | None = None) -> np.ndarray:
    """Return an image as uint8 (C, H, W): upright, without alpha, resized (bilinear) to size (H, W).

    Args:
        path: of the file.
        size: (H, W), or None.
        color: `rgb` or `grey`.
        bits: the value 2^bits - 1 is white in files of more than 8 bits that do not say it; None: 16.

    Raises:
        Unfit: the pixels are floats, negative, above white, or their white is not known.
    """
    return _decode(path, size, color, bits)[0]


def _decode(
    path: Path, size: tuple[int, int] | None, color: Color, bits: int | None
) -> tuple[np.ndarray, Seen | None]:
    """Return the pixels as `decode`, and the largest value of a 16-bit file that does not say its white."""
    from PIL import Image, ImageOps

    mode = "L" if color == "grey" else "RGB"
    with Image.open(path) as file:
        depth = stored_depth(file)  # Pillow forgets it when it reads the pixels
        upright = ImageOps.exif_transpose(file)  # by Exif, XMP, a TIFF tag or ImageMagick's profile
        image, largest = _plain(upright, depth, bits)
        if image.mode != mode:
            image = image.convert(mode)
        if size is not None and image.size != size[::-1]:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    return (pixels[None] if color == "grey" else pixels.transpose(2, 0, 1)), largest


def _plain(image: Any, depth: Depth, bits: int | None) -> tuple[Any, Seen | None]:
    """Return an image that converts to RGB or grayscale as expected, and the largest value as `_decode`.

    Transparent parts become white.
    """
    from PIL import Image

    if image.mode == "F":
        raise Unfit("its pixels are floating-point numbers, which have no fixed white; save 8 or 16 bits")
    if image.mode.startswith("I"):
        return _eight_bits(image, depth, bits)
    largest = None
    if depth.bits == 16 and not depth.white_known:
        largest = _largest_of_upper_bytes(image)
        if bits not in (None, 16):
            raise Unfit(
                f"only the upper 8 of its 16 bits per color can be read, so that data.bits: {bits} "
                "cannot be followed; save it with 8 bits"
            )
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return image, largest
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        whole = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
        return whole.convert("RGB"), largest
    return image.convert("RGB"), largest  # palette, CMYK, YCbCr, 1 bit, ...


def _eight_bits(image: Any, depth: Depth, bits: int | None) -> tuple[Any, Seen | None]:
    """Return grayscale of 8 bits from whole numbers of more bits; Pillow would clip them at 255."""
    from PIL import Image

    values = np.asarray(image)
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise Unfit(f"its pixels go down to {low}, and black is 0; save it with 8 or 16 bits without sign")
    if depth.inverted:
        raise Unfit("its 16 bits are stored inverted (WhiteIsZero); save it with black as 0")
    if not depth.white_known and depth.bits != 16 and bits is None:
        raise Unfit(
            f"its pixels are whole numbers with a sign or of 32 bits, up to {high}, and their white is not "
            "known; set data.bits (12 if 4095 is white), or save it with 8 or 16 bits"
        )
    white = depth.bits if depth.white_known else bits or 16
    if high >> white:
        raise Unfit(f"it holds the value {high}, above {2**white - 1}, which is white by data.bits: {white}")
    small = (values >> (white - 8)).astype(np.uint8)
    if isinstance(hidden := image.info.get("transparency"), int):
        small[values == hidden] = 255
    return Image.fromarray(small), Seen(high, True) if depth.bits == 16 and not depth.white_known else None


def _largest_of_upper_bytes(image: Any) -> Seen:
    """Return the largest value of 16 bits that the colors may have; alpha does not count."""
    upper = np.asarray(image)
    colors = upper[..., :-1] if image.mode in ("RGBA", "RGBa", "LA", "La") else upper
    return Seen(int(colors.max()) << 8 | 255, whole=False)


def problem(path: Path, error: Exception) -> str:
    """Return a sentence that says what is wrong with a file."""
    from PIL import UnidentifiedImageError

    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read: {error.strerror}"
    if isinstance(error, Unfit):
        return f"{path}: {error}"
    if path.stat().st_size == 0:
        return f"{path} is empty"
    if isinstance(error, UnidentifiedImageError):
        return f"{path} is not an image that Pillow can read"
    return f"{path} is damaged: {error}"


def decode_all(
    paths: list[Path],
    shape: tuple[int, int, int],
    size: tuple[int, int] | None,
    color: Color,
    bits: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Return all images as one array uint8 (N, C, H, W).

    Args:
        paths: the N files.
        shape: expected shape (C, H, W).
        size: (H, W) to resize to, or None.
        color: `rgb` or `grey`.
        bits: as `decode`; None: 16, if any of the images proves it.
        progress: called with (done, total).

    Raises:
        DataError: files are damaged or have another shape (the error counts and names them), or all images
            of 16 bits hold values of fewer bits, and `bits` is None.
    """
    from PIL import Image

    Image.init()  # load Pillow's plug-ins once here, not in every thread
    out = np.empty((len(paths), *shape), np.uint8)
    damaged: dict[int, str] = {}
    other_size: dict[int, str] = {}
    largest: dict[int, Seen] = {}

    def work(i: int) -> None:
        try:
            pixels, seen = _decode(paths[i], size, color, bits)
        except Exception as error:  # damaged files make Pillow raise all kinds of errors
            damaged[i] = problem(paths[i], error)
            return
        if seen is not None:
            largest[i] = seen
        if pixels.shape == shape:
            out[i] = pixels
        else:
            other_size[i] = f"{paths[i]} is {pixels.shape[1]}x{pixels.shape[2]}"

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata and very large images
        in_threads(work, len(paths), progress)
    if damaged or other_size:
        raise DataError("\n".join(_messages(damaged, other_size, shape, str(paths[0]))))
    if bits is None and largest:
        _refuse_few_bits(paths, largest)
    return out


def _refuse_few_bits(paths: list[Path], largest: dict[int, Seen]) -> None:
    """Raise a `DataError` unless a value proves that the images of 16 bits use all of them.

    Cameras and scanners often store 10, 12 or 14 bits in 16; taken for 16, such images are nearly black.
    """
    first = max(largest, key=lambda i: (largest[i].value, -i))
    high = largest[first].value
    if high.bit_length() > 15:
        return
    likely = next((bits for bits in (8, 10, 12, 14) if high < 2**bits), 15)
    mend = f"set data.bits: {likely} if {2**likely - 1} is white"
    if not all(seen.whole for seen in largest.values()):
        mend = "save them with 8 bits per color, of which only the upper 8 of 16 can be read"
    raise DataError(
        f"data.bits: no value in the {len(largest)} images of 16 bits is above {high} ({paths[first]}), so "
        f"that white may be less than 65535; {mend}, or set data.bits: 16 if 65535 is white and the images "
        "are dark"
    )


def _messages(
    damaged: dict[int, str], other_size: dict[int, str], shape: tuple[int, ...], first: str
) -> list[str]:
    lines = []
    if damaged:
        listed = shown([damaged[i] for i in sorted(damaged)])
        lines.append(
            f"data.root: {counted(len(damaged), 'file')} cannot be used: {listed}; replace or remove them"
        )
    if other_size:
        listed = shown([other_size[i] for i in sorted(other_size)])
        lines.append(
            f"data.root: the images differ in height x width: {first} is {shape[1]}x{shape[2]}, but "
            f"{listed}; set one size for all, for example data.size: {min(shape[1], shape[2])}"
        )
    return lines

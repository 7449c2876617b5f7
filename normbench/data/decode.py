"""Decode many image files of any kind to uint8 arrays.

This uses threads, not processes: Pillow releases the interpreter lock while it decodes. For tiny images that
gains nothing, but processes gain nothing either (60,000 JPEGs of 32x32 take about 6 s both ways).
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Literal

import numpy as np

from normbench.data.base import Progress
from normbench.data.listing import CHUNK, shown
from normbench.errors import DataError

Color = Literal["rgb", "grey"]
WHITE = (255, 255, 255, 255)


def decode(path: Path, size: tuple[int, int] | None, color: Color) -> np.ndarray:
    """Return an image as uint8 (C, H, W): upright, without alpha, resized (bilinear) to size (H, W)."""
    from PIL import Image, ImageOps

    mode = "L" if color == "grey" else "RGB"
    with Image.open(path) as file:
        image: Any = _plain(ImageOps.exif_transpose(file) if "exif" in file.info else file)
        if image.mode != mode:
            image = image.convert(mode)
        if size is not None and image.size != size[::-1]:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(image)  # Pillow reads the file no later than here
    return pixels[None] if color == "grey" else pixels.transpose(2, 0, 1)


def _plain(image: Any) -> Any:
    """Return an image that converts to RGB or grayscale as expected; transparent parts become white."""
    from PIL import Image

    if image.mode in ("RGB", "L"):
        if "transparency" not in image.info:
            return image
    elif image.mode.startswith("I"):  # 16-bit grayscale, which Pillow would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    elif image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; save it with 8 or 16 bits")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")
    return image.convert("RGB")  # palette, CMYK, YCbCr, 1 bit, ...


def problem(path: Path, error: Exception) -> str:
    """Return a sentence that says what is wrong with a file."""
    from PIL import UnidentifiedImageError

    if isinstance(error, OSError) and error.strerror:
        return f"{path} cannot be read: {error.strerror}"
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
    progress: Progress | None = None,
) -> np.ndarray:
    """Return all images as one array uint8 (N, C, H, W).

    Args:
        paths: the N files.
        shape: expected shape (C, H, W).
        size: (H, W) to resize to, or None.
        color: `rgb` or `grey`.
        progress: called with (done, total).

    Raises:
        DataError: files are damaged or have another shape; the error counts and names them.
    """
    from PIL import Image

    Image.init()  # load Pillow's plug-ins once here, not in every thread
    out = np.empty((len(paths), *shape), np.uint8)
    damaged: dict[int, str] = {}
    other_size: dict[int, str] = {}

    def work(start: int) -> int:
        chosen = range(start, min(start + CHUNK, len(paths)))
        for i in chosen:
            try:
                pixels = decode(paths[i], size, color)
            except Exception as error:  # damaged files make Pillow raise all kinds of errors
                damaged[i] = problem(paths[i], error)
                continue
            if pixels.shape == shape:
                out[i] = pixels
            else:
                other_size[i] = f"{paths[i]} is {pixels.shape[1]}x{pixels.shape[2]}"
        return len(chosen)

    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow warns about odd metadata and very large images
        done = 0
        tasks = [pool.submit(work, start) for start in range(0, len(paths), CHUNK)]
        try:
            for task in as_completed(tasks):
                done += task.result()
                if progress is not None:
                    progress(done, len(paths))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # so that an interrupt takes effect at once
            raise
    if damaged or other_size:
        raise DataError("\n".join(_messages(damaged, other_size, shape, str(paths[0]))))
    return out


def _messages(
    damaged: dict[int, str], other_size: dict[int, str], shape: tuple[int, ...], first: str
) -> list[str]:
    lines = []
    if damaged:
        listed = shown([damaged[i] for i in sorted(damaged)])
        lines.append(f"data.root: {len(damaged)} files cannot be used: {listed}; replace or remove them")
    if other_size:
        listed = shown([other_size[i] for i in sorted(other_size)])
        lines.append(
            f"data.root: the images differ in height x width: {first} is {shape[1]}x{shape[2]}, but "
            f"{listed}; set one size for all, for example data.size: {min(shape[1], shape[2])}"
        )
    return lines

"""A folder with the user's own images."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from normbench.data.base import DataOptions, Folder, Progress, RawData, RawInfo, Survey, as_part
from normbench.data.decode import Color, decode, decode_all, problem
from normbench.data.listing import (
    LAYOUT,
    PARTS,
    Listing,
    cache_path,
    fingerprint,
    keep,
    scan,
)
from normbench.data.root import data_root
from normbench.errors import DataError

FORMAT = 2  # version of the cache; increase it when decoding changes

Side = Annotated[int, Field(ge=1)]


class ImageFolder(DataOptions):
    """Your own images: a folder with train/<class>/* and test/<class>/*, decoded once and cached.

    It reads any image format that Pillow reads. Transparent parts become white, more than 8 bits
    become 8, and photographs are rotated upright by their metadata. The folder names are the classes.
    """

    layout: ClassVar[str] = LAYOUT

    name: Literal["image_folder"] = "image_folder"
    size: Side | Annotated[tuple[Side, Side], Field(strict=False)] | None = Field(
        None, description="resize all images (bilinear) to this side, or to [height, width]"
    )
    color: Color = Field("rgb", description="rgb (3 channels) or grey (1 channel)")
    bits: int | None = Field(
        None,
        ge=8,
        le=31,
        description="bits in use where a file has 16 or more: 12 if 4095 is white; null: 16, which a value "
        "above 32767 has to prove",
    )

    @property
    def height_width(self) -> tuple[int, int] | None:
        """Return the size to resize to, (height, width), or None."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def identity(self, data_dir: Folder = None) -> dict[str, Any]:
        """Return every option, with a fingerprint of the files instead of the root."""
        listing = scan(self.folder(data_dir))
        own = super().identity(data_dir)
        if self.bits is None:
            del own["bits"]  # ids of runs from before the option stay valid
        return {**own, "fingerprint": fingerprint(listing, data_root(None, data_dir))}

    def available(self, root: Path) -> bool:
        """Return whether both parts exist."""
        return all((root / part).is_dir() for part in PARTS)

    def download(self, root: Path) -> None:
        """Raise an error that says which files are expected where; there is nothing to download."""
        scan(root)

    def survey(self, root: Path) -> Survey:
        """List the files; if `size` is unset, the first image sets it."""
        listing = scan(root)
        first = root / listing.train[0].path
        channels = 1 if self.color == "grey" else 3
        size = self.height_width
        if size is None:
            try:
                _, *size_found = decode(first, None, self.color, self.bits).shape
            except Exception as error:  # damaged files make Pillow raise all kinds of errors
                raise DataError(f"data.root: {problem(first, error)}; replace or remove it") from error
            size = (size_found[0], size_found[1])
        info = RawInfo((channels, *size), len(listing.class_names), len(listing.train), len(listing.test))
        return Survey(info, listing.stamp, listing)

    def read(self, root: Path, survey: Survey, cache: Path, progress: Progress | None = None) -> RawData:
        """Return the images from the cache, or decode and cache them."""
        listing: Listing = survey.listing
        kept = cache_path(root, cache, "npz", self.height_width, self.color, self.bits)
        stamp = f"{FORMAT} {survey.stamp}"
        pixels = _kept(kept, stamp)
        if pixels is None:
            paths = [root / file.path for file in listing.files]
            shape, size = survey.info.input_shape, self.height_width
            decoded = decode_all(paths, shape, size, self.color, self.bits, progress)
            pixels = decoded
            keep(kept, lambda file: np.savez(file, stamp=np.array(stamp), pixels=decoded))
        labels = torch.tensor([file.label for file in listing.files])
        x, n = torch.from_numpy(pixels), len(listing.train)
        return RawData(as_part(x[:n], labels[:n]), as_part(x[n:], labels[n:]), listing.class_names)


def _kept(path: Path, stamp: str) -> np.ndarray | None:
    """Return the pixels in a cache file with this stamp, or None."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["pixels"] if str(arrays["stamp"]) == stamp else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # missing or truncated: decode again

"""Image folders: all kinds of images, decoded once; errors name the file and how to fix it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from normbench.data import Dataset, clear, dataset_info, fetch, load
from normbench.data import image_folder as module
from normbench.data.base import data_root
from normbench.data.decode import decode
from normbench.data.image_folder import ImageFolder
from normbench.errors import DataError


def picture(height: int = 6, width: int = 5, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder of 2 x (3 training + 2 test) images of one size."""
    folder = tmp_path / "images"
    for part, n in (("train", 3), ("test", 2)):
        for label, name in enumerate(("cat", "dog")):
            (folder / part / name).mkdir(parents=True)
            for i in range(n):
                picture(seed=10 * label + i + n).save(folder / part / name / f"{i}.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def read(root: Path, cache: Path, **options: object) -> Dataset:
    chosen = {"batch_size": 2, "standardize": "none", **options}
    return load(ImageFolder(root=str(root), **chosen), cache)  # type: ignore[arg-type]


def test_images_come_with_their_classes(root: Path, cache: Path):
    calls: list[tuple[int, int]] = []
    options = ImageFolder(root=str(root), batch_size=2, standardize="none")
    look = dataset_info(options, cache)
    assert (look.input_shape, look.classes, look.train, look.test) == ((3, 6, 5), 2, 6, 4)
    dataset = load(options, cache, progress=lambda done, total: calls.append((done, total)))
    assert dataset.class_names == ("cat", "dog")
    assert dataset.train.y.tolist() == [0, 0, 0, 1, 1, 1]
    expected = torch.from_numpy(np.asarray(picture(seed=13)).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(dataset.train.x[3], expected)
    assert calls[-1] == (10, 10)


def test_images_are_decoded_once_and_again_when_a_file_changes(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    decoded: list[int] = []
    original = module.decode_all
    monkeypatch.setattr(
        module, "decode_all", lambda paths, *a: decoded.append(len(paths)) or original(paths, *a)
    )
    first = read(root, cache)
    assert read(root, cache) is first  # in this process
    clear()
    again = read(root, cache)  # from the cache file
    assert decoded == [10]
    assert torch.equal(again.train.x, first.train.x)
    picture(seed=99).save(root / "train" / "cat" / "0.png")
    assert not torch.equal(read(root, cache).train.x[0], first.train.x[0])
    read(root, cache, color="grey")
    assert decoded == [10, 10, 10]
    kept = list((cache / "image_folder").iterdir())
    assert len(kept) == 2  # the changed folder replaced its file; grey has another one
    clear()
    for file in kept:
        file.write_bytes(file.read_bytes()[:100])
    assert read(root, cache).train.x.shape == (6, 3, 6, 5)


def test_a_cache_that_cannot_be_written_is_a_warning(root: Path, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(UserWarning, match="cannot be cached"):
        read(root, tmp_path / "file")


def test_the_fingerprint_depends_on_names_and_contents_but_not_on_the_place(root: Path, cache: Path):
    def fingerprint(folder: Path) -> str:
        identity = ImageFolder(root=str(folder)).identity(cache)
        assert "root" not in identity
        return identity["fingerprint"]

    first = fingerprint(root)
    assert fingerprint(root) == first
    moved = root.parent / "moved"
    shutil.copytree(root, moved)
    assert fingerprint(moved) == first
    os.utime(moved / "train" / "cat" / "0.png", (1, 1))
    assert fingerprint(moved) == first  # another time, the same contents
    content = bytearray((moved / "train" / "cat" / "0.png").read_bytes())
    content[-1] ^= 1
    (moved / "train" / "cat" / "0.png").write_bytes(content)
    assert fingerprint(moved) != first  # other contents, the same size
    shutil.rmtree(moved)
    shutil.copytree(root, moved)
    (moved / "train" / "cat" / "0.png").rename(moved / "train" / "cat" / "9.png")
    assert fingerprint(moved) != first


def test_every_kind_of_image_converts(tmp_path: Path):
    def through(image: Image.Image, name: str, color: str = "rgb", **options: object) -> np.ndarray:
        image.save(tmp_path / name, **options)
        return decode(tmp_path / name, None, color)  # type: ignore[arg-type]

    red = Image.new("RGB", (4, 3), (255, 0, 0))
    half = Image.new("RGBA", (4, 3), (255, 0, 0, 0))
    half.putpixel((0, 0), (255, 0, 0, 255))
    pixels = through(half, "alpha.png")
    assert pixels.shape == (3, 3, 4)
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
    assert pixels[:, 1, 1].tolist() == [255, 255, 255]  # transparent red is white
    palette = red.convert("P")
    assert through(palette, "palette.png")[:, 0, 0].tolist() == [255, 0, 0]
    assert through(red.quantize(4), "seen.png", transparency=b"\x00\xff\xff\xff").shape == (3, 3, 4)
    assert through(Image.new("L", (4, 3), 100), "grey.jpg")[:, 1, 1].tolist() == [100, 100, 100]
    assert through(Image.new("LA", (4, 3), (100, 255)), "la.png", "grey").tolist() == [[[100] * 4] * 3]
    assert through(Image.new("1", (4, 3), 1), "bit.png", "grey").max() == 255
    cmyk = through(Image.new("CMYK", (4, 3), (0, 255, 255, 0)), "cmyk.jpg")[:, 1, 1]
    assert cmyk[0] > 200
    assert cmyk[1] < 60
    deep = Image.fromarray(np.full((3, 4), 40_000, np.uint16))
    assert through(deep, "deep.png", "grey").tolist() == [
        [[40_000 >> 8] * 4] * 3
    ]  # 16 bits, not clipped at 255
    assert through(red, "grey_of_color.png", "grey").shape == (1, 3, 4)
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: rotated by 90 degrees
    assert through(red, "turned.jpg", exif=turned).shape == (3, 4, 3)
    with pytest.raises(ValueError, match="floating-point"):
        through(Image.new("F", (4, 3), 0.5), "float.tiff")


def test_errors_in_a_mixed_folder_name_every_file_and_how_to_fix_it(root: Path, cache: Path):
    """Images of several sizes and modes, and damaged ones; once these are fixed, the folder loads."""
    Image.new("RGBA", (9, 9), (0, 255, 0, 128)).save(root / "train" / "cat" / "alpha.png")
    Image.new("L", (7, 8), 5).save(root / "train" / "dog" / "grey.jpg")
    (root / "train" / "dog" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (root / "test" / "dog" / "empty.png").write_bytes(b"")
    cut = (root / "test" / "cat" / "0.png").read_bytes()
    (root / "test" / "cat" / "cut.png").write_bytes(cut[:-30])
    with pytest.raises(DataError) as error:
        read(root, cache)
    text = str(error.value)
    assert "3 files cannot be used" in text
    assert "train/dog/broken.jpg is not an image" in text
    assert "test/dog/empty.png is empty" in text
    assert "test/cat/cut.png is damaged" in text
    assert "replace or remove" in text
    assert "alpha.png is 9x9" in text
    assert "data.size: 5" in text
    assert not (cache / "image_folder").exists()
    for name in ("train/dog/broken.jpg", "test/dog/empty.png", "test/cat/cut.png"):
        (root / name).unlink()
    assert read(root, cache, size=8).train.x.shape == (8, 3, 8, 8)
    assert read(root, cache, size=[4, 7], color="grey").train.x.shape == (8, 1, 4, 7)


def test_many_broken_files_are_counted(root: Path, cache: Path):
    for i in range(8):
        (root / "train" / "cat" / f"x{i}.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"x4.png .*\(and 3 more\)") as error:
        read(root, cache, size=4)
    assert "x5.png" not in str(error.value)
    shutil.copy(root / "train" / "cat" / "x0.png", root / "train" / "cat" / "0.png")
    with pytest.raises(DataError, match=r"train/cat/0.png is not an image"):
        dataset_info(ImageFolder(root=str(root)), cache)


def test_wrong_layouts_are_errors(root: Path, cache: Path):
    def error() -> str:
        with pytest.raises(DataError) as caught:
            read(root, cache)
        return str(caught.value)

    (root / ".DS_Store").write_bytes(b"x")
    (root / "train" / "cat" / ".hidden.png").write_bytes(b"x")
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    assert len(read(root, cache).train) == 6  # hidden files do not count

    (root / "train" / "bird").mkdir()
    assert "'bird' is in" in error()
    assert "but not in" in error()
    (root / "test" / "bird").mkdir()
    assert "train/bird has no images" in error()
    shutil.rmtree(root / "train" / "bird")
    assert f"'bird' is in {root / 'test'} but not in {root / 'train'}" in error()
    shutil.rmtree(root / "test" / "bird")
    (root / "train" / "stray.png").write_bytes(b"x")
    assert "files outside a class" in error()
    (root / "train" / "stray.png").unlink()
    (root / "train" / "cat" / "deeper").mkdir()
    assert "folders inside a class" in error()
    (root / "train" / "cat" / "deeper").rmdir()
    (root / "train" / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    assert "gone.png" in error()
    (root / "train" / "cat" / "gone.png").unlink()
    for part in ("train", "test"):
        shutil.rmtree(root / part / "dog")
    assert "at least 2" in error()
    shutil.rmtree(root / "test")
    assert "no folder 'test'" in error()
    with pytest.raises(DataError, match="no folder 'train'"):
        fetch("image_folder", root / "nothing")


def test_a_size_is_a_side_or_height_and_width():
    assert ImageFolder(size=8).height_width == (8, 8)
    assert ImageFolder(size=[4, 7]).height_width == (4, 7)  # type: ignore[arg-type]
    for bad in (0, [4], [4, 5, 6], [0, 4], "8", ["4", 5], 8.5):
        with pytest.raises(ValueError, match="size"):
            ImageFolder(size=bad)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_real_cifar_jpegs(cache: Path, tmp_path: Path):
    source = data_root() / "cifar10-jpeg"
    if not (source / "train").is_dir():
        pytest.skip(f"the JPEG copy of CIFAR-10 is not in {source}")
    for part, n in (("train", 20), ("test", 5)):
        for folder in (source / part).iterdir():
            (tmp_path / "some" / part / folder.name).mkdir(parents=True)
            for file in sorted(folder.iterdir())[:n]:
                shutil.copy(file, tmp_path / "some" / part / folder.name)
    dataset = read(tmp_path / "some", cache, batch_size=64, standardize="channel")
    assert dataset.train.x.shape == (200, 3, 32, 32)
    assert dataset.class_names[:2] == ("airplane", "automobile")
    assert dataset.train.x.mean().item() == pytest.approx(0, abs=1e-5)


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="file names there are Unicode")
@pytest.mark.parametrize(
    "odd", [b"caf\xe9", b"\xff\xfe", b"\x82\xa0", "Ａé".encode("utf-16-le").replace(b"\0", b"")]
)
@pytest.mark.parametrize("place", ["file", "class", "root"])
def test_names_of_any_bytes_train_and_are_named_in_errors(
    root: Path, cache: Path, odd: bytes, place: str, monkeypatch: pytest.MonkeyPatch
):
    name = os.fsdecode(odd)
    if place == "root":  # a config is Unicode, so that such a folder is named by a relative path
        monkeypatch.chdir(root.rename(root.parent / name))
        root = Path(".")
    for part in ("train", "test"):
        if place == "class":
            (root / part / "cat").rename(root / part / name)
        elif place == "file":
            (root / part / "cat" / "0.png").rename(root / part / "cat" / f"{name}.png")
    dataset = read(root, cache)
    assert sorted(dataset.train.y.tolist()) == [0, 0, 0, 1, 1, 1]
    options = ImageFolder(root=str(root))
    first = options.identity(cache)["fingerprint"]
    assert options.identity(cache)["fingerprint"] == first  # from the cache
    damaged = next(path for path in sorted((root / "test").rglob("*.png")) if name in str(path.resolve()))
    damaged.write_bytes(b"")
    with pytest.raises(DataError, match="is empty") as error:
        read(root, cache)
    assert str(damaged) in str(error.value)


def test_composed_and_decomposed_names_are_one_class_each(root: Path, cache: Path):
    (root / "train" / "cat").rename(root / "train" / "caf\u00e9")
    (root / "test" / "cat").rename(root / "test" / "cafe\u0301")
    (root / "train" / "dog" / "0.png").rename(root / "train" / "dog" / "e\u0301.png")
    shutil.copy(root / "train" / "dog" / "1.png", root / "train" / "dog" / "\u00e9.png")
    assert len(read(root, cache).train) == 7
    options = ImageFolder(root=str(root.parent) + "/images")
    assert options.identity(cache)["fingerprint"]

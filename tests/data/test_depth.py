"""Image files of more than 8 bits: the right grey, or a sentence; upright by any metadata."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from normbench.data.decode import decode, decode_all
from normbench.data.image_folder import FORMAT, ImageFolder
from normbench.errors import DataError

RAMP = np.linspace(0, 1, 12).reshape(3, 4)  # black to white


def values(bits: int, kind: type = np.uint16) -> np.ndarray:
    return np.round(RAMP * (2**bits - 1)).astype(kind)


def grey(path: Path, bits: int | None = None) -> np.ndarray:
    """Return what a folder with this image alone gives."""
    return decode_all([path], (1, 3, 4), None, "grey", bits)[0, 0]


def same(got: np.ndarray) -> bool:
    return bool((np.abs(got.astype(int) - np.round(RAMP * 255)) <= 1).all())


def saved(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def tiff(path: Path, data: bytes, bits: int, order: str = ">", sample: int = 1, photometric: int = 1) -> Path:
    """Write a TIFF file of 3 x 4 gray pixels with any depth and order of bytes."""
    entries = [
        (256, 3, 4), (257, 3, 3), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 200), (277, 3, 1), (278, 3, 3), (279, 4, len(data)), (339, 3, sample),
    ]  # fmt: skip
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, len(entries))
    for tag, kind, value in entries:
        head += struct.pack(order + "HHI", tag, kind, 1)
        head += struct.pack(order + ("HH" if kind == 3 else "I"), *([value, 0] if kind == 3 else [value]))
    path.write_bytes((head + bytes(4)).ljust(200, b"\0") + data)
    return path


def color_png(path: Path, array: np.ndarray) -> Path:
    """Write a PNG file of 16 bits per color, which Pillow cannot write."""
    height, width, channels = array.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_few_bits_in_16_are_asked_about_and_then_right(tmp_path: Path, name: str, bits: int):
    path = saved(tmp_path / name, values(bits))
    with pytest.raises(DataError, match=f"data.bits: {bits} if {2**bits - 1} is white") as error:
        grey(path)
    assert str(path) in str(error.value)
    assert same(grey(path, bits))
    assert grey(path, 16).max() == (2**bits - 1) >> 8


def test_the_whole_folder_decides(tmp_path: Path):
    dark, full = saved(tmp_path / "a.png", values(12)), saved(tmp_path / "b.png", values(16))
    both = decode_all([dark, full], (1, 3, 4), None, "grey")
    assert same(both[1, 0])
    assert both[0].max() == 15  # a dark image among those of 16 bits
    eight = saved(tmp_path / "c.png", values(8, np.uint8))
    assert same(grey(eight))  # a dark one of 8 bits needs no option
    with pytest.raises(DataError, match="1 images of 16 bits"):
        decode_all([eight, dark], (1, 3, 4), None, "grey")
    with pytest.raises(DataError, match=r"b.png: it holds the value 65535, above 4095"):
        decode_all([dark, full], (1, 3, 4), None, "grey", 12)


@pytest.mark.parametrize("white", [1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P5", "P2"])
def test_pgm_says_its_white(tmp_path: Path, kind: str, white: int):
    array = np.round(RAMP * white).astype(int)
    data = array.astype(">u2").tobytes() if kind == "P5" else " ".join(map(str, array.ravel())).encode()
    path = tmp_path / "a.pgm"
    path.write_bytes(f"{kind} 4 3 {white}\n".encode() + data)
    assert same(grey(path))
    assert same(grey(path, 12 if white < 65535 else 16))  # the file knows better than the option


@pytest.mark.parametrize("kind", ["P5", "P6"])
def test_a_pgm_of_16_bits_with_12_in_use_is_asked_about(tmp_path: Path, kind: str):
    array = values(12).repeat(3 if kind == "P6" else 1)
    (tmp_path / "a.pnm").write_bytes(f"{kind} 4 3 65535\n".encode() + array.astype(">u2").tobytes())
    mend = r"data\.bits: 12 if 4095" if kind == "P5" else "save them with 8 bits per color"
    with pytest.raises(DataError, match=mend):
        grey(tmp_path / "a.pnm")


def test_tiff_of_other_depths(tmp_path: Path):
    big = values(16).astype(">u2").tobytes()
    assert same(grey(tiff(tmp_path / "big.tif", big, 16)))
    twelve = tiff(tmp_path / "big12.tif", values(12).astype(">u2").tobytes(), 16)
    with pytest.raises(DataError, match=r"data\.bits: 12"):
        grey(twelve)
    assert same(grey(twelve, 12))
    signed = tiff(tmp_path / "signed.tif", values(12).astype(">i2").tobytes(), 16, sample=2)
    with pytest.raises(DataError, match=r"white is not known; set data\.bits"):
        grey(signed)
    assert same(grey(signed, 12))
    below = tiff(
        tmp_path / "below.tif", (values(12).astype(int) - 1024).astype(">i2").tobytes(), 16, sample=2
    )
    with pytest.raises(DataError, match="down to -1024"):
        grey(below, 12)
    inverted = tiff(tmp_path / "inverted.tif", big, 16, photometric=0)
    with pytest.raises(DataError):
        grey(inverted)
    wide = saved(tmp_path / "wide.tif", values(20, np.int32))
    with pytest.raises(DataError, match="up to 1048575, and their white is not known"):
        grey(wide)
    assert same(grey(wide, 20))
    real = saved(tmp_path / "real.tif", RAMP.astype(np.float32))
    with pytest.raises(DataError, match="floating-point") as error:
        grey(real, 12)
    assert "damaged" not in str(error.value)


def test_a_tiff_of_packed_12_bits_needs_no_option(tmp_path: Path):
    pairs = values(12).reshape(-1, 2).tolist()
    packed = b"".join((left << 12 | right).to_bytes(3, "big") for left, right in pairs)
    assert same(grey(tiff(tmp_path / "a.tif", packed, 12, order="<")))


@pytest.mark.parametrize("channels", [3, 4])
def test_colors_of_16_bits(tmp_path: Path, channels: int):
    def png(bits: int) -> Path:
        array = values(bits)[..., None].repeat(channels, -1)
        array[..., 3:] = 65535  # alpha
        return color_png(tmp_path / f"{bits}.png", array)

    assert same(grey(png(16)))
    with pytest.raises(DataError, match="save them with 8 bits per color"):
        grey(png(12))
    with pytest.raises(DataError, match="upper 8"):
        grey(png(12), 12)
    assert grey(png(12), 16).max() == 15


def test_a_transparent_grey_of_16_bits_becomes_white(tmp_path: Path):
    path = saved(tmp_path / "a.png", values(16), transparency=0)
    assert grey(path)[0, 0] == 255


def test_the_option_is_in_run_ids_only_when_set(tmp_path: Path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            saved(tmp_path / part / name / "0.png", values(8, np.uint8))
    assert "bits" not in ImageFolder(root=str(tmp_path)).identity(tmp_path / "cache")
    assert ImageFolder(root=str(tmp_path), bits=12).identity(tmp_path / "cache")["bits"] == 12
    for bad in (7, 32, 12.5, "12"):
        with pytest.raises(ValueError, match="bits"):
            ImageFolder(bits=bad)  # type: ignore[arg-type]


XMP = (
    '<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize(
    "place", ["exif.jpg", "exif.png", "exif.webp", "xmp.jpg", "xmp.png", "raw.png", "tag.tif"]
)
def test_every_orientation_that_pillow_reads_is_applied(tmp_path: Path, place: str, turn: int):
    up = np.zeros((16, 24, 3), np.uint8)
    up[:8, :8] = 255
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the operation of Pillow that stores it turned
    stored = Image.fromarray(up)
    if turn > 1:
        stored = stored.transpose(Image.Transpose(undo[turn]))
    exif = Image.Exif()
    exif[0x0112] = turn
    info = PngImagePlugin.PngInfo()
    kind, suffix = place.split(".")
    options: dict[str, object] = {"quality": 95} if suffix == "jpg" else {}
    if kind == "exif":
        options |= {"exif": exif} | ({"lossless": True} if suffix == "webp" else {})
    elif kind == "tag":
        options["tiffinfo"] = {274: turn}
    elif suffix == "jpg":
        options["xmp"] = (XMP % turn).encode()
    elif kind == "xmp":
        info.add_itxt("XML:com.adobe.xmp", XMP % turn)
        options["pnginfo"] = info
    else:
        raw = exif.tobytes()
        info.add_text("Raw profile type exif", f"\nexif\n{len(raw):8d}\n{raw.hex()}\n", zip=True)
        options["pnginfo"] = info
    stored.save(tmp_path / place, **options)
    with Image.open(tmp_path / place) as file:
        assert ImageOps.exif_transpose(file).size == (24, 16)
    pixels = decode(tmp_path / place, None, "rgb").transpose(1, 2, 0)
    assert pixels.shape == up.shape
    assert np.abs(pixels.astype(int) - up).max() < 60


def test_pixels_decoded_before_are_not_taken():
    assert FORMAT == 2

"""MNIST and its kin are read as torchvision reads them, without torchvision."""

import struct
import subprocess
import sys

import pytest
import torch

from normbench.data import DATASETS
from normbench.data.idx import FILES, IdxSet, read_idx

SETS = [name for name, cls in DATASETS.entries.items() if issubclass(cls, IdxSet)]


@pytest.fixture(params=SETS)
def stored(request, tmp_path):
    cls = DATASETS[request.param]
    generator = torch.Generator().manual_seed(0)
    for file, *shape in zip(FILES, (7, 7, 3, 3), (28, 0, 28, 0), strict=False):
        size = [size for size in (shape[0], shape[1], shape[1]) if size]
        content = torch.randint(0, 256 if shape[1] else 10, size, generator=generator, dtype=torch.uint8)
        path = tmp_path / cls(name=request.param).location(tmp_path) / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            bytes((0, 0, 8, len(size))) + struct.pack(f">{len(size)}I", *size) + content.numpy().tobytes()
        )
    return cls, tmp_path


def test_images_labels_and_names_are_those_of_torchvision(stored):
    import torchvision.datasets

    cls, root = stored
    parts, names = cls()._stored(root)
    for part, train in zip(parts, (True, False), strict=True):
        theirs = getattr(torchvision.datasets, cls.source)(str(root), train=train)
        assert torch.equal(part.x, theirs.data.unsqueeze(1))
        assert part.x.dtype == torch.uint8
        assert torch.equal(part.y, theirs.targets)
    assert list(names) == theirs.classes


def test_torchvision_is_not_imported(stored):
    cls, root = stored
    code = (
        f"import sys; from pathlib import Path; from normbench.data import DATASETS; "
        f"DATASETS[{cls.key()!r}]()._stored(Path({str(root)!r})); "
        "print([name for name in ('torchvision', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "does not begin"),
        (b"\x1f\x8b\x08\x00", "does not begin"),  # compressed
        (bytes((0, 0, 8, 3, 0, 0)), "ends within its head"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 3, 1, 2)), "2 bytes of data, and its head says 3"),
        (bytes((0, 0, 8, 1, 0, 0, 0, 1, 1, 2)), "2 bytes of data, and its head says 1"),
        (bytes((0, 0, 8, 2)) + b"\xff" * 8 + b"1", "1 bytes of data, and its head says 18,446"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, data, what):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=what):
        read_idx(path)

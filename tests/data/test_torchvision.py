"""The sets that torchvision reads: existing files need no network, missing ones give one clear error."""

from __future__ import annotations

import io
import pickle
import struct
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch

from normbench.data import DATASETS, available, data_root, dataset_info, describe_all, fetch, load
from normbench.data.cifar10 import Cifar10
from normbench.data.idx import FILES
from normbench.data.mnist import Mnist
from normbench.errors import DataError, NormbenchError

NETWORKED = ["mnist", "fashion_mnist", "cifar10", "cifar100"]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write_mnist(root: Path, train: int = 30, test: int = 20) -> None:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for start, n in ((0, train), (2, test)):
        pixels = np.arange(n * 784, dtype=np.uint32).astype(np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        (folder / FILES[start]).write_bytes(struct.pack(">IIII", 0x803, n, 28, 28) + pixels.tobytes())
        (folder / FILES[start + 1]).write_bytes(struct.pack(">II", 0x801, n) + labels.tobytes())


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None) -> Path:
    monkeypatch.setattr(Mnist, "train_images", 30)
    monkeypatch.setattr(Mnist, "test_images", 20)
    write_mnist(tmp_path)
    return tmp_path


def test_existing_files_are_read_without_a_network(small_mnist: Path):
    options = Mnist(batch_size=5, standardize="none", root=str(small_mnist))
    assert available(options)
    dataset = load(options)
    assert dataset.train.x.shape == (30, 1, 28, 28)
    assert dataset.test.y.tolist() == [i % 10 for i in range(20)]
    assert dataset.train.x[0, 0, 0, 3] == pytest.approx(3 / 255)
    assert dataset.class_names[0].startswith("0")
    assert fetch("mnist", small_mnist) == small_mnist / "MNIST" / "raw"


def test_a_damaged_file_is_an_error_that_names_the_folder(small_mnist: Path):
    file = small_mnist / "MNIST" / "raw" / FILES[0]
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"MNIST/raw cannot be read .*delete that folder"):
        load(Mnist(batch_size=5, root=str(small_mnist)))


def test_files_of_another_size_are_refused(small_mnist: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Mnist, "train_images", 31)
    with pytest.raises(DataError, match=r"\(30, 1, 28, 28\).*expected \(31, 1, 28, 28\)"):
        load(Mnist(batch_size=5, root=str(small_mnist)))


def test_cifar_has_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None):
    import torchvision.datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3072), dtype=np.uint8)
    content = {"data": pixels, "labels": [i % 10 for i in range(20)]}
    names = [f"data_batch_{i}" for i in range(1, 6)]
    for name in [*names, "test_batch"]:
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"c{i}" for i in range(10)]}))
    source = torchvision.datasets.CIFAR10
    monkeypatch.setattr(source, "train_list", [[name, None] for name in names])
    monkeypatch.setattr(source, "test_list", [["test_batch", None]])
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": None})
    monkeypatch.setattr(Cifar10, "train_images", 100)
    monkeypatch.setattr(Cifar10, "test_images", 20)
    dataset = load(Cifar10(batch_size=5, standardize="none", root=str(tmp_path)))
    expected = torch.from_numpy(pixels).reshape(20, 3, 32, 32) / 255
    torch.testing.assert_close(dataset.test.x, expected)
    assert dataset.class_names[3] == "c3"


@pytest.mark.parametrize("name", NETWORKED)
def test_no_files_and_no_network_is_one_clear_error(name: str, tmp_path: Path, no_network: None):
    root = tmp_path / "data"
    options = DATASETS[name]()
    assert not available(options, root)
    assert dataset_info(options, root).train >= 50_000  # a plan needs no files
    with pytest.raises(DataError) as error:
        load(options, root)
    text = str(error.value)
    for word in (
        f"'{name}'",
        str(root),
        DATASETS[name].layout,
        "no network in this test",
        "data.name=digits",
    ):
        assert word in text
    assert "\n" not in text
    assert not root.exists()  # torchvision creates its folders before it uses the network
    with pytest.raises(DataError, match=r"data\.name=digits"):
        fetch(name, root)


def test_the_table_shows_which_files_exist(small_mnist: Path):
    rows = {row.name: row for row in describe_all(small_mnist)}
    assert list(rows) == list(DATASETS)
    assert rows["mnist"].available
    assert rows["mnist"].size_bytes > 30 * 784
    assert rows["digits"].available
    assert rows["digits"].where == "embedded"
    assert not rows["cifar10"].available
    with pytest.raises(NormbenchError, match="did you mean 'mnist'"):
        fetch("mnits", small_mnist)


def test_the_root_is_the_option_or_the_argument_or_the_environment_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NORMBENCH_DATA", raising=False)
    assert data_root() == Path.home() / ".cache" / "normbench" / "data"
    monkeypatch.setenv("NORMBENCH_DATA", "/env")
    assert data_root() == Path("/env")
    assert data_root(None, "/argument") == Path("/argument")
    assert Mnist(root="/option").folder("/argument") == Path("/option")
    assert data_root("~/x") == Path.home() / "x"


def test_the_identity_has_every_option_except_the_root():
    identity = Mnist(root="/somewhere", batch_size=7).identity()
    assert "root" not in identity
    assert identity["batch_size"] == 7
    assert set(identity) == set(Mnist.model_fields) - {"root"} - Mnist.late
    assert "label_noise" in Mnist(label_noise=0.1).identity()


@pytest.mark.real_data
def test_real_mnist():
    options = Mnist(train_size=1000, val_size=500, test_size=200)
    if not available(options):
        pytest.skip(f"MNIST is not in {options.folder()}")
    dataset = load(options)
    assert [len(part or ()) for part in (dataset.train, dataset.val, dataset.test)] == [1000, 500, 200]
    assert dataset.train.x.mean().item() == pytest.approx(0, abs=1e-5)
    whole = torch.tensor([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    assert (dataset.train.y.bincount() - whole / 60).abs().max() <= 1


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
def test_a_download_with_wrong_contents_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Torchvision checks the md5 of the file before it unpacks it."""

    class Answer(io.BytesIO):
        url, length = None, 22

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: Answer(b"not what was asked for"))
    with pytest.raises(DataError, match="corrupted"):
        load(DATASETS[name](), tmp_path / "data")
    assert not available(DATASETS[name](), tmp_path / "data")
    left = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in left] == [b"not what was asked for"]

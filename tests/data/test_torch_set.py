"""Torch data sets from Python: what is read of their items, kept in a file, and refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from normbench.data.torch_set import TorchSet, items_of, place
from normbench.errors import DataError, NormbenchError


class Items(Dataset):
    """Items that a function makes of their numbers."""

    def __init__(self, make, count=12):
        self.make, self.count = make, count

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        return self.make(number)


def label(number):
    return number % 3


def of(make, count=12):
    return items_of((Items(make, count), Items(make, 6)), "mine")


def vectors(count=60, seed=0):
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, torch.arange(count) % 3)


BYTES = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)


@pytest.mark.parametrize(
    ("image", "wanted", "top"),
    [
        (torch.arange(4.0), torch.arange(4.0).view(1, 1, 4), 1),
        (np.arange(6.0).reshape(2, 3), torch.arange(6.0, dtype=torch.float64).view(1, 2, 3), 1),
        (torch.arange(4).view(1, 2, 2), torch.arange(4.0).view(1, 2, 2), 1),
        (torch.tensor([2**40 + 1]), torch.tensor([2.0**40 + 1], dtype=torch.float64).view(1, 1, 1), 1),
        (torch.tensor([True, False]), torch.tensor([1.0, 0.0]).view(1, 1, 2), 1),
        (torch.ones(3, 2, 2, dtype=torch.float16, requires_grad=True), torch.ones(3, 2, 2), 1),
        (torch.full((3, 2, 2), 7, dtype=torch.uint8), torch.full((3, 2, 2), 7, dtype=torch.uint8), None),
        (Image.fromarray(BYTES), torch.from_numpy(BYTES).permute(2, 0, 1), None),
        (Image.fromarray(BYTES[..., 0]), torch.from_numpy(BYTES[..., 0].copy()).unsqueeze(0), None),
    ],
)
def test_the_forms_of_an_image(image, wanted, top):
    found = of(lambda number: (image, label(number)))
    assert found.train.x.dtype == wanted.dtype
    assert torch.equal(found.train.x, wanted.expand(12, *wanted.shape))
    assert found.train.y.tolist() == [0, 1, 2] * 4
    assert (found.top, found.class_names) == (top, ("0", "1", "2"))


@pytest.mark.parametrize("kind", [int, np.int64, torch.tensor, np.array, np.uint8])
def test_the_forms_of_a_label(kind):
    assert of(lambda number: (torch.ones(2), kind(label(number)))).test.y.tolist() == [0, 1, 2] * 2


def test_names_of_classes_are_those_of_the_data_set():
    train = vectors()
    train.classes = ["cat", "dog", "owl"]
    assert items_of((train, vectors(6)), "mine").class_names == ("cat", "dog", "owl")
    train.classes = ["cat", "dog"]
    assert items_of((train, vectors(6)), "mine").class_names == ("0", "1", "2")


def test_a_fifth_of_a_single_data_set_is_for_testing():
    whole = vectors(60)
    found = items_of(whole, "mine")
    assert torch.bincount(found.train.y).tolist() == [16] * 3
    assert torch.bincount(found.test.y).tolist() == [4] * 3
    both = torch.cat([found.train.x, found.test.x]).view(60, 4)
    assert sorted(both.tolist()) == sorted(whole.tensors[0].tolist())
    assert items_of(whole, "mine").digest == found.digest


def test_the_hash_is_that_of_the_values():
    def digest(train, seed=1):
        return items_of((train, vectors(6, seed)), "mine").digest

    first = digest(vectors())
    assert digest(Items(lambda number: vectors()[number], 60)) == first  # however they are held
    other = vectors()
    other.tensors[0][59, 3] += 1e-6
    assert digest(other) != first
    moved = TensorDataset(vectors().tensors[0], vectors().tensors[1].flip(0))
    assert digest(moved) != first
    assert digest(vectors(), 2) != first


class Random(Dataset):
    def __len__(self):
        return 40

    def __getitem__(self, number):
        return torch.rand(4) if number == 39 else torch.ones(4), label(number)


class Stream(IterableDataset):
    def __iter__(self):
        yield torch.ones(2), 0


class Endless(Dataset):
    def __getitem__(self, number):
        return torch.ones(2), 0


def broken(number):
    raise OSError("no such file")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Random(), "item 39 has other values when it is read again, so its transform is random; each item"),
        (Stream(), "an IterableDataset has neither a length nor items by number"),
        (Endless(), "the data set has no length"),
        (DataLoader(vectors()), "found a DataLoader; give its data set (`.dataset`)"),
        (Items(None, 0), "the data set is empty"),
        (Items(broken), "item 0 cannot be read: OSError: no such file"),
        (Items(lambda n: {"x": 1}), "item 0 is a dict; expected a pair (image, label)"),
        (Items(lambda n: (torch.ones(n + 1), label(n))), "item 1 is float32 (1, 1, 2), item 0 float32 ("),
        (Items(lambda n: (torch.ones(2), 0.5)), "item 0 has the label 0.5 (float); expected a whole number"),
        (Items(lambda n: (torch.ones(2), True)), "item 0 has the label True (bool); expected a whole number"),
        (Items(lambda n: (torch.ones(2), torch.ones(3))), "item 0 has the label tensor([1., 1., 1.]"),
        (Items(lambda n: ([1, 2], 0)), "its image is a list; expected a tensor, an array or a Pillow image"),
        (Items(lambda n: (np.array(["a"]), 0)), "its image is no array of numbers"),
        (Items(lambda n: (torch.ones(2, 2, 2, 2), 0)), "its image is float32 (2, 2, 2, 2); expected real n"),
        (Items(lambda n: (torch.ones(2) * 1j, 0)), "its image is complex64 (2,); expected real numbers"),
        (Items(lambda n: (np.zeros((8, 8, 3)), 0)), "the shape (8, 8, 3), which looks like (H, W, C)"),
        (Items(lambda n: (Image.new("P", (4, 4)), 0)), "its pixels are numbers of a palette"),
        (Items(lambda n: (torch.ones(2).byte(), 0)), "all bytes are 0 or 1, and 255 stands for 1.0"),
        (Items(lambda n: (torch.ones(2), 1 + n % 2)), "the training labels are 1, 2; expected 0 to 1: each"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(given, said):
    with pytest.raises(DataError) as error:
        items_of(given, "mine")
    assert str(error.value).startswith("data 'mine'")
    assert said in str(error.value)


def test_parts_that_differ_are_refused():
    with pytest.raises(DataError, match=r"training items are float32 \(1, 1, 4\), the test items float32"):
        items_of((vectors(), TensorDataset(torch.ones(3, 5), torch.arange(3))), "mine")
    with pytest.raises(DataError, match="no training item has the label 7 of a test item"):
        items_of((vectors(), TensorDataset(torch.ones(3, 4), torch.tensor([0, 1, 7]))), "mine")
    with pytest.raises(DataError, match="data 'mine', test: the data set is empty"):
        items_of((vectors(), Items(None, 0)), "mine")


def kept_class(items):
    class Mine(TorchSet):
        digest = items.digest
        input_shape, sizes, class_names = (1, 1, 4), (60, 6), items.class_names

    return Mine(name="mine")


def test_a_file_keeps_the_items(tmp_path):
    items = items_of((vectors(), vectors(6)), "mine")
    items.keep(tmp_path)
    options = kept_class(items)
    raw = options.read(tmp_path / "other", options.survey(tmp_path), tmp_path)
    assert torch.equal(raw.train.x, items.train.x)
    assert torch.equal(raw.test.y, items.test.y)
    assert raw.one == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "another"])
def test_a_file_that_is_not_as_it_was_is_refused(damage, tmp_path):
    items = items_of((vectors(), vectors(6)), "mine")
    path = place(tmp_path, items.digest)
    items.keep(tmp_path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        other = items_of((vectors(60, 5), vectors(6)), "mine")
        other.keep(tmp_path)
        path.write_bytes(place(tmp_path, other.digest).read_bytes())
    options = kept_class(items)
    with pytest.raises(DataError, match="is missing or damaged; give the data set from Python once more"):
        options.read(tmp_path, options.survey(tmp_path), tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "given").write_text("a file", encoding="utf-8")
    with pytest.raises(NormbenchError, match=r"cannot be written .* name another folder \(data_dir\)"):
        items_of(vectors(), "mine").keep(tmp_path)

"""Parts, scaling and label entropy: exact sizes, no overlap, statistics of the training part."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from normbench import seeding
from normbench.data import DATASETS, dataset_info, load
from normbench.data.base import RawData, RawInfo, RawPart
from normbench.data.digits import Digits
from normbench.data.prepare import STD_FLOOR, entropy, part_sizes, prepare, statistics, stratified
from normbench.errors import DataError


def raw(train: int = 40, test: int = 12, channels: int = 3, constant: bool = False) -> RawData:
    """Return images whose first pixel is their index, so that a test can follow each one."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for n in (train, test):
        x = torch.randint(0, 256, (n, channels, 4, 5), generator=generator, dtype=torch.uint8)
        if constant:
            x[:, :, 0, 0] = 7
        else:
            x[:, 0, 0, 0] = torch.arange(n)
        parts.append(RawPart(x, torch.arange(n) % 4))
    return RawData(parts[0], parts[1], ("a", "b", "c", "d"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=7).filter(any), st.data())
def test_a_stratified_part_has_the_exact_size_and_the_nearest_shares(counts: list[int], data: st.DataObject):
    y = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    size = data.draw(st.integers(0, len(y)))
    index = stratified(y, size, seeding.generator(0, "x"))
    assert len(index) == size == len(set(index.tolist()))
    for label, count in enumerate(counts):
        got = int((y[index] == label).sum())
        assert math.floor(count * size / len(y)) <= got <= math.ceil(count * size / len(y))


def test_a_smaller_part_is_contained_in_a_larger_one():
    y = torch.arange(100) % 10
    small, large = (set(stratified(y, n, seeding.generator(3, "x")).tolist()) for n in (20, 50))
    assert small < large


def test_parts_do_not_overlap_and_depend_only_on_the_split_seed():
    def indices(**options: object) -> tuple[list[int], list[int]]:
        chosen = Digits(train_size=12, val_size=8, batch_size=4, standardize="none", **options)
        dataset = prepare(raw(), chosen)
        assert dataset.val is not None
        return tuple(
            (part.x[:, 0, 0, 0] * 255).round().int().tolist() for part in (dataset.train, dataset.val)
        )

    train, val = indices()
    assert (len(train), len(val)) == (12, 8)
    assert not set(train) & set(val)
    assert indices(binarize=False) == (train, val)
    assert indices(split_seed=1) != (train, val)
    full = prepare(raw(), Digits(val_size=8, batch_size=4))
    assert len(full.train) == 32
    assert full.train.y.dtype == torch.int64


@pytest.mark.parametrize("mode", ["channel", "feature"])
def test_statistics_equal_numpys_in_float64(mode: str):
    x = torch.randint(0, 256, (700, 2, 3, 4), dtype=torch.uint8)
    axes = (0, 2, 3) if mode == "channel" else (0,)
    scaled = x.numpy().astype(np.float64) / 255
    mean, std = statistics(x, mode, 255)
    np.testing.assert_allclose(mean.squeeze().numpy(), scaled.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(std.squeeze().numpy(), scaled.std(axes), rtol=1e-9)


def test_standardize_uses_the_training_part_for_all_parts():
    chosen = Digits(train_size=20, val_size=8, batch_size=4)
    dataset = prepare(raw(), chosen, torch.float64)
    plain = prepare(raw(), chosen.model_copy(update={"standardize": "none"}), torch.float64)
    mean = plain.train.x.mean((0, 2, 3), keepdim=True)
    std = plain.train.x.std((0, 2, 3), correction=0, keepdim=True)
    for part, source in ((dataset.train, plain.train), (dataset.val, plain.val), (dataset.test, plain.test)):
        assert part is not None
        assert source is not None
        torch.testing.assert_close(part.x, (source.x - mean) / std, rtol=1e-9, atol=1e-12)


def test_a_constant_pixel_becomes_zero_and_stays_bounded():
    dataset = prepare(raw(constant=True), Digits(standardize="feature", batch_size=4), torch.float64)
    assert dataset.train.x[:, :, 0, 0].abs().max() < 1e-12
    other = raw(constant=True)
    other.test.x[0, 0, 0, 0] = 255
    odd = prepare(other, Digits(standardize="feature", batch_size=4)).test.x[0, 0, 0, 0]
    assert odd <= 1 / STD_FLOOR


def test_none_leaves_zero_to_one_and_binarize_gives_two_values():
    plain = prepare(raw(), Digits(standardize="none", batch_size=4)).train.x
    assert plain.min() >= 0
    assert plain.max() <= 1
    binary = prepare(raw(), Digits(standardize="none", binarize=True, batch_size=4)).train.x
    assert torch.equal(binary, (plain > 0.5).float())
    scaled = prepare(raw(), Digits(binarize=True, batch_size=4)).train.x
    assert abs(scaled.mean()) < 1e-6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_size": 41}, "data.train_size: 41 .* 40"),
        ({"train_size": 36, "val_size": 5}, "data.train_size: 36 .* 35 .*val_size: 5"),
        ({"val_size": 40}, "data.val_size: 40 .* 40"),
        ({"test_size": 13}, "data.test_size: 13 .* 12"),
        ({"batch_size": 41}, "data.batch_size: 41 .* 40"),
        ({"train_size": 10, "batch_size": 11}, "data.batch_size: 11 .* 10"),
    ],
)
def test_asking_for_too_many_images_is_an_error_with_both_numbers(options: dict[str, int], words: str):
    with pytest.raises(DataError, match=words):
        part_sizes(Digits(**{"batch_size": 4, **options}), RawInfo((1, 2, 2), 4, 40, 12))


def test_the_label_entropy_is_that_of_the_labels_in_use():
    assert entropy(torch.arange(100) % 10) == pytest.approx(math.log(10))
    assert entropy(torch.tensor([0, 0, 0, 1])) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )
    assert entropy(torch.zeros(5, dtype=torch.int64)) == 0


def test_digits_is_embedded_and_stratified():
    dataset = load(Digits(val_size=100))
    assert dataset.input_shape == (1, 8, 8)
    assert (len(dataset.train), len(dataset.val or ()), len(dataset.test)) == (1337, 100, 360)
    assert dataset.test.y.bincount().min() >= 34
    assert dataset.label_entropy == pytest.approx(math.log(10), abs=1e-3)
    assert dataset_info(Digits()).train == 1437
    assert torch.equal(dataset.test.y, load(Digits(split_seed=5)).test.y)


def test_equal_options_share_one_copy():
    first = load(Digits(batch_size=10))
    assert load(Digits(batch_size=20)) is first
    assert load(Digits(train_size=1000)) is not first
    assert load(Digits(), dtype=torch.float64).train.x.dtype == torch.float64
    with pytest.raises(DataError, match="batch_size"):
        load(Digits(batch_size=1438))


@pytest.mark.parametrize("cls", DATASETS.classes())
def test_impossible_options_are_refused(cls: type):
    for bad in (
        {"batch_size": 0},
        {"train_size": 0},
        {"val_size": -1},
        {"batch_size": "60"},
        {"standardize": "all"},
    ):
        with pytest.raises(ValueError, match=next(iter(bad))):
            cls(**bad)
    assert hash(cls()) == hash(cls())
    assert cls.summary()
    assert cls.layout

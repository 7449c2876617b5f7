"""Data sets of users: the numbers that training gets, held against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.own_data import CLASSES, SHAPE, numbers, options, raw

from normbench.data import RawData, RawInfo, Survey, dataset_info, load
from normbench.data.loading import clear
from normbench.errors import DataError

pytestmark = pytest.mark.usefixtures("own_sets")


def standardized(train, other, axes, top=1.0):
    """Return the same by numpy: floats have no floor."""
    train, other = train / top, other / top
    mean, std = train.mean(axes, keepdims=True), train.std(axes, keepdims=True)
    return [(part - mean) / std for part in (train, other)]


def loaded(read, **values):
    dataset = load(options(read, **values), dtype=torch.float64)
    return dataset.train.x.numpy(), dataset.test.x.numpy()


def sixteen_bits(x):
    return torch.from_numpy(x.numpy().astype(np.uint16))


GOOD = {  # low, high, what is done to the floats, top
    "features": (-3.0, 5.0, lambda x: x, 1),
    "tiny features": (-3e-5, 5e-5, lambda x: x, 1),
    "features of float32": (-3.0, 5.0, lambda x: x.float(), 1),
    "far from zero": (1e4, 1e4 + 1, lambda x: x, 1),
    "float32 images": (0.0, 1.0, lambda x: x.float(), 1),
    "one channel (N, H, W)": (0.0, 1.0, lambda x: x[:, 0], 1),
    "another order in memory": (0.0, 1.0, lambda x: x.transpose(2, 3).contiguous().transpose(2, 3), 1),
    "floats up to 255": (0.0, 255.0, lambda x: x, 255),
    "whole floats up to 255": (0.0, 255.0, lambda x: x.round(), None),
    "16 bits": (0.0, 65535.0, lambda x: x.to(torch.int32), 65535),
    "uint16": (0.0, 65535.0, sixteen_bits, 65535),
    "whole numbers that float32 would round": (0.0, 2.0**40, lambda x: x.to(torch.int64), 1),
    "float16": (0.0, 1.0, lambda x: x.half(), 1),
}
TOLERANCE = {"far from zero": 1e-11}  # 1e4 times the rounding of float64


@pytest.mark.parametrize("standardize", ["channel", "feature", "none"])
@pytest.mark.parametrize("kind", GOOD)
def test_floats_are_what_numpy_makes_of_them(kind, standardize):
    low, high, change, top = GOOD[kind]
    got = loaded(lambda: raw(lambda x, y: (change(x), y), low, high, top=top), standardize=standardize)
    stored = [
        change(torch.from_numpy(numbers(count, seed, low, high)[0])).double().numpy().reshape(count, *SHAPE)
        for count, seed in ((80, 0), (20, 1))
    ]
    axes = {"channel": (0, 2, 3), "feature": (0,)}
    one = top or 255
    expected = (
        standardized(*(part - low for part in stored), axes[standardize], one)  # without rounding far from 0
        if standardize in axes
        else [part / one for part in stored]
    )
    for mine, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=TOLERANCE.get(kind, 1e-12))


def test_features_of_all_units_have_a_standard_deviation_of_one_and_constants_become_zero():
    """No feature is flattened because another one is larger, and no constant is blown up by rounding."""
    constants = torch.tensor([0.0, 0.1, 1e10, -1e-20, 1 / 3], dtype=torch.float64)

    def change(x, y):
        x[:, 0, 1] *= 1e-9
        x[:, 0, 2] *= 1e9
        x[:, 0, 3] = constants
        return x, y

    got = loaded(lambda: raw(change), standardize="feature")
    np.testing.assert_allclose(got[0][:, 0, :3].std(0), 1, rtol=1e-12)
    np.testing.assert_array_equal(got[0][:, 0, 3], 0)
    np.testing.assert_array_equal(got[1][:, 0, 3], 0)


def test_a_constant_of_the_training_part_is_only_centered():
    def change(x, y):
        x[:, 0, 0, 0] = 0.1 if len(x) == 80 else 0.4
        return x, y

    got = loaded(lambda: raw(change, top=2), standardize="feature")
    np.testing.assert_allclose(got[1][:, 0, 0, 0], 0.15, rtol=1e-12)


def test_bytes_keep_their_rule():
    """A pixel with a standard deviation below 1 % of the range counts as constant."""

    def change(x, y):
        x = (x * 255).round()
        x[:, 0, 0, 0] = torch.arange(len(x)) % 2  # far below 1 % of 255
        return x.to(torch.int64), y

    got = loaded(lambda: raw(change, top=None), standardize="feature")
    stored = [
        change(*map(torch.from_numpy, numbers(n, s)))[0].double().numpy() / 255 for n, s in ((80, 0), (20, 1))
    ]
    mean, std = stored[0].mean(0), np.maximum(stored[0].std(0), 0.01)
    np.testing.assert_allclose(got[1], (stored[1] - mean) / std, atol=1e-12)


@pytest.mark.parametrize("standardize", ["channel", "feature", "zca"])
def test_reading_twice_gives_the_same(standardize):
    """Statistics must not change what is stored: the training part was squared in place."""
    kept = raw(low=-2, high=2)
    before = kept.train.x.clone()
    first = loaded(lambda: kept, standardize=standardize)
    clear()
    again = loaded(lambda: kept, standardize=standardize)
    assert torch.equal(kept.train.x, before)
    np.testing.assert_array_equal(first[0], again[0])


def test_binarize_cuts_floats_in_the_middle():
    got = loaded(lambda: raw(low=0, high=10, top=10), standardize="none", binarize=True)
    np.testing.assert_array_equal(got[0], (numbers(80, 0, 0, 10)[0] > 5).astype(float))


def test_zca_of_floats_is_what_numpy_makes_of_it():
    got = loaded(lambda: raw(low=-3, high=5, top=2), standardize="zca", zca_eps=0.01)
    train, test = ((numbers(n, s, -3, 5)[0] / 2).reshape(n, -1) for n, s in ((80, 0), (20, 1)))
    values, vectors = np.linalg.eigh(np.cov(train, rowvar=False, bias=True))
    expected = (test - train.mean(0)) @ (vectors / np.sqrt(values + 0.01)) @ vectors.T
    np.testing.assert_allclose(got[1].reshape(20, -1), expected, atol=1e-12)


def test_unequal_scales_and_label_noise_are_those_of_bytes():
    """Factors and labels come from seeds, not from the type of the inputs."""

    def as_bytes():
        return raw(lambda x, y: ((x * 255).to(torch.uint8), y), top=None)

    def as_floats():
        return raw(lambda x, y: ((x * 255).floor(), y), top=255)

    values = {"standardize": "none", "unequal_scales": 2.0, "label_noise": 0.3}
    plain, first = load(options(as_floats), dtype=torch.float64), None
    for read in (as_bytes, as_floats):
        clear()
        dataset = load(options(read, **values), dtype=torch.float64)
        first = first or dataset
        assert torch.equal(dataset.train.x, first.train.x)
        assert torch.equal(dataset.train.y, first.train.y)
        assert int((dataset.train.y != plain.train.y).sum()) == 24


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"standardize": "zca"}, r"data.zca_eps: 0.001 is above all variances .* at most .*e-09"),
        ({"binarize": True}, "data.binarize: none of the training inputs of 'own' are above 0.5"),
    ],
)
def test_options_that_would_leave_nothing_of_floats_are_refused(values, sentence):
    with pytest.raises(DataError, match=sentence):
        load(options(lambda: raw(low=-3e-5, high=5e-5), **values))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.uint16])
def test_labels_may_have_any_integer_type(dtype):
    dataset = load(options(lambda: raw(lambda x, y: (x, y.to(dtype)))))
    assert dataset.train.y.dtype == torch.int64
    assert dataset.train.y.tolist() == [index % 4 for index in range(80)]


@pytest.mark.parametrize("names", [list(CLASSES), np.array(CLASSES), (0, 1, 2, 3)])
def test_class_names_may_be_any_sequence(names):
    dataset = load(options(lambda: RawData(raw().train, raw().test, names, top=1)))
    assert dataset.class_names == tuple(map(str, names))


def test_a_survey_may_count_in_numbers_of_numpy():
    info = RawInfo([1, np.int64(4), 5], np.int64(4), np.int32(80), 20)
    found = dataset_info(options(raw, Survey(info)))
    assert (found.input_shape, found.classes, found.train) == (SHAPE, 4, 80)

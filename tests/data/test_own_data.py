"""Data sets of users: the numbers that training gets, held against numpy, and sentences for what is wrong."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pytest
import torch

from normbench.data import (
    DATASETS,
    DataOptions,
    RawData,
    RawInfo,
    RawPart,
    Survey,
    as_part,
    dataset_info,
    load,
)
from normbench.data.loading import clear
from normbench.errors import DataError
from normbench.registry import restored

CLASSES = ("a", "b", "c", "d")
SHAPE = (1, 4, 5)


def numbers(count, seed, low=0.0, high=1.0):
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 4
    return rng.uniform(low, high, (count, *SHAPE)), y


def raw(change=lambda x, y: (x, y), low=0.0, high=1.0, **more):
    """Return data whose parts went through `change`, made of floats from `low` to `high`."""
    parts = []
    for count, seed in ((80, 0), (20, 1)):
        x, y = change(*map(torch.from_numpy, numbers(count, seed, low, high)))
        parts.append(as_part(x, y))
    return RawData(*parts, CLASSES, **{"top": 1, **more})


@pytest.fixture(autouse=True)
def _own_sets():
    with restored(DATASETS.entries):
        yield
    clear()


def options(read, survey=None, **values):
    """Register a data set that returns this, and return its options."""
    found = survey or Survey(RawInfo(SHAPE, 4, 80, 20))

    class Own(DataOptions):
        """A data set of a test."""

        embedded: ClassVar[bool] = True
        name: Literal["own"] = "own"

        def survey(self, root):
            return found() if callable(found) else found

        def read(self, root, survey, cache, progress=None):
            return read()

    DATASETS.entries.pop("own", None)
    DATASETS.add(Own)
    return Own.model_validate({"name": "own", "batch_size": 20, **values})


def standardized(train, other, axes, top=1.0, floor=1e-6):
    """Return the same by numpy: floats whose floor is a share of the largest standard deviation."""
    train, other = train / top, other / top
    mean, std = train.mean(axes, keepdims=True), train.std(axes, keepdims=True)
    return [(part - mean) / np.maximum(std, floor * std.max()) for part in (train, other)]


def loaded(read, **values):
    dataset = load(options(read, **values), dtype=torch.float64)
    return dataset.train.x.numpy(), dataset.test.x.numpy()


GOOD = {  # low, high, what is done to the floats, top
    "features": (-3.0, 5.0, lambda x: x, 1),
    "tiny features": (-3e-5, 5e-5, lambda x: x, 1),
    "far from zero": (1e4, 1e4 + 1, lambda x: x, 1),
    "float32 images": (0.0, 1.0, lambda x: x.float(), 1),
    "floats up to 255": (0.0, 255.0, lambda x: x, 255),
    "16 bits": (0.0, 65535.0, lambda x: x.to(torch.int32), 65535),
    "float16": (0.0, 1.0, lambda x: x.half(), 1),
}


@pytest.mark.parametrize("standardize", ["channel", "feature", "none"])
@pytest.mark.parametrize("kind", GOOD)
def test_floats_are_what_numpy_makes_of_them(kind, standardize):
    low, high, change, top = GOOD[kind]
    got = loaded(lambda: raw(lambda x, y: (change(x), y), low, high, top=top), standardize=standardize)
    stored = [
        change(torch.from_numpy(numbers(count, seed, low, high)[0])).double().numpy()
        for count, seed in ((80, 0), (20, 1))
    ]
    axes = {"channel": (0, 2, 3), "feature": (0,)}
    expected = (
        standardized(*stored, axes[standardize], top)
        if standardize in axes
        else [part / top for part in stored]
    )
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


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


def test_labels_may_have_any_integer_type():
    dataset = load(options(lambda: raw(lambda x, y: (x, y.to(torch.int8)))))
    assert dataset.train.y.dtype == torch.int64
    assert dataset.train.y.tolist() == [index % 4 for index in range(80)]


def with_value(value):
    def change(x, y):
        x[3, 0, 1, 1] = value
        return x, y

    return change


FAULTY = {
    "column": (lambda: raw(lambda x, y: (x, y[:, None])), r"own', train: y has the shape \(80, 1\)"),
    "labels from 1": (lambda: raw(lambda x, y: (x, y + 1)), "run from 1 to 4; expected 0 to 3; subtract 1"),
    "labels from -1": (lambda: raw(lambda x, y: (x, y - 1)), "run from -1 to 2"),
    "float labels": (lambda: raw(lambda x, y: (x, y.double())), "the labels are float64"),
    "too few labels": (lambda: raw(lambda x, y: (x, y[:-1])), "80 images and 79 labels"),
    "no top": (lambda: raw(top=None), r"x is float64, from .* to 1; say which value.*top=1"),
    "top of zero": (lambda: raw(top=0), "`top` is 0"),
    "nan": (lambda: raw(with_value(float("nan"))), "NaN or infinite"),
    "infinite": (lambda: raw(with_value(float("inf"))), "NaN or infinite"),
    "above top": (lambda: raw(lambda x, y: ((x * 200).to(torch.uint8), y), top=16), "above `top`, 16"),
    "other shape": (
        lambda: raw(lambda x, y: (x[..., :3], y)),
        r"`survey` says the shape \(1, 4, 5\).*\(1, 4, 3\)",
    ),
    "vectors": (lambda: raw(lambda x, y: (x.flatten(1), y)), r"expected \(N, C, H, W\), for vectors"),
    "other size": (
        lambda: raw(lambda x, y: (x[1:], y[1:])),
        "`survey` says 80 images, and `read` returns 79",
    ),
    "none": (lambda: None, "`read` returns None; it must return RawData"),
    "a tuple": (lambda: (1, 2), "`read` returns a tuple"),
    "numpy": (
        lambda: RawData(RawPart(*numbers(80, 0)), RawPart(*numbers(20, 1)), CLASSES, top=1),
        "x is a numpy.ndarray; expected a tensor",
    ),
    "long integers": (
        lambda: RawData(
            *[RawPart(torch.zeros(n, *SHAPE).long(), torch.zeros(n).long()) for n in (80, 20)], CLASSES
        ),
        "x is int64; expected uint8 or floats",
    ),
    "class names": (
        lambda: RawData(raw().train, raw().test, ("a", "b"), top=1),
        "`survey` says 4 classes, and `read` returns 2 class names",
    ),
    "raises": (lambda: 1 / 0, r"test_own_data.py:\d+: ZeroDivisionError: division by zero \(in `read`\)"),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_faulty_data_are_refused_with_a_sentence(kind):
    read, sentence = FAULTY[kind]
    with pytest.raises(DataError, match=sentence) as caught:
        load(options(read))
    assert "data 'own'" in str(caught.value)


def fails():
    raise KeyError("folder")


@pytest.mark.parametrize(
    ("survey", "sentence"),
    [
        (lambda: None, "`survey` returns a NoneType"),
        (lambda: Survey(RawInfo((20,), 4, 80, 20)), r"the shape \(20,\); it must be \(C, H, W\)"),
        (fails, r"test_own_data.py:\d+: KeyError: 'folder' \(in `survey`\)"),
    ],
)
def test_faulty_surveys_are_refused_with_a_sentence(survey, sentence):
    with pytest.raises(DataError, match=sentence):
        dataset_info(options(raw, survey))


@pytest.mark.parametrize("method", ["survey", "read"])
def test_a_missing_method_is_named(method):
    own = options(raw)
    delattr(type(own), method)
    with pytest.raises(DataError, match=f"has no method `{method}`; write one"):
        load(own)

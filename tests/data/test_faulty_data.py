"""Data sets of users that are wrong: each is refused with a sentence that names what was found."""

from __future__ import annotations

import pytest
import torch
from helpers.own_data import CLASSES, SHAPE, numbers, options, raw

from normbench.data import RawData, RawInfo, RawPart, Survey, as_part, dataset_info, load
from normbench.errors import DataError

pytestmark = pytest.mark.usefixtures("own_sets")


def with_value(value):
    def change(x, y):
        x[3, 0, 1, 1] = value
        return x, y

    return change


def only_in(size, change):
    """Return a change of the part of this size: 80 for the training part, 20 for the test part."""
    return lambda x, y: change(x, y) if len(x) == size else (x, y)


def as_numpy():
    return [RawPart(*numbers(count, seed)) for count, seed in ((80, 0), (20, 1))]


FAULTY = {
    "column": (lambda: raw(lambda x, y: (x, y[:, None])), r"own', train: y has the shape \(80, 1\)"),
    "labels from 1": (
        lambda: raw(lambda x, y: (x, y + 1)),
        "train: the labels y run from 1 to 4; expected 0 to 3; subtract 1",
    ),
    "labels from -1": (lambda: raw(lambda x, y: (x, y - 1)), "run from -1 to 2; expected 0 to 3$"),
    "test labels": (lambda: raw(only_in(20, lambda x, y: (x, y * 2))), "test: the labels y run from 0 to 6"),
    "float labels": (
        lambda: raw(lambda x, y: (x, y.double())),
        "train: the labels y are float64; expected whole numbers from 0",
    ),
    "labels of truth": (lambda: raw(lambda x, y: (x, y > 1)), "the labels y are bool"),
    "labels as stored": (
        lambda: RawData(*[RawPart(p.x, p.y.int()) for p in (raw().train, raw().test)], CLASSES, top=1),
        "the labels y are int32; expected int64, as `as_part",
    ),
    "too few labels": (
        lambda: raw(lambda x, y: (x, y[:-1])),
        "train: there are 80 images in x and 79 labels in y",
    ),
    "a single label": (lambda: raw(lambda x, y: (x, y[0])), r"y has the shape \(\); .* \(80,\)"),
    "no top": (
        lambda: raw(top=None),
        r"train: x is float64, from .* to 1, and `top` is 255; say which value .*top=1\)",
    ),
    "no top up to 255": (lambda: raw(high=255, top=None), r"from .* to 255, and `top` is 255; .*top=255\)"),
    "no top of features": (
        lambda: raw(low=-1, high=300, top=None),
        r"from -0.9.* to 300.* is 255; .*top=1\)",
    ),
    "no top of 16 bits": (
        lambda: raw(lambda x, y: (x.long(), y), high=65535, top=None),
        r"x is float32, .* to 6.*, and `top` is 255; .*top=65535\)",
    ),
    "top of bytes for floats up to 1": (lambda: raw(top=255), r"to 1, and `top` is 255; .*top=1\)"),
    "truth without top": (lambda: raw(lambda x, y: (x > 0.5, y), top=None), r"uint8, from 0 to 1, .*top=1\)"),
    "top of zero": (lambda: raw(top=0), "own': `top` is 0; expected the number above 0"),
    "top as a text": (lambda: raw(top="1"), "`top` is '1'; expected the number above 0"),
    "endless top": (lambda: raw(top=float("inf")), "`top` is inf; expected the number above 0"),
    "nan": (
        lambda: raw(with_value(float("nan"))),
        r"train: x has 1 values that are NaN or infinite, the first at \(3, 0, 1, 1\)",
    ),
    "nan and no top": (lambda: raw(with_value(float("nan")), top=None), "x has 1 values that are NaN"),
    "infinite test": (
        lambda: raw(only_in(20, with_value(float("inf")))),
        "test: x has 1 values that are NaN or infinite",
    ),
    "above top": (
        lambda: raw(lambda x, y: ((x * 200).to(torch.uint8), y), top=16),
        "x has values up to 199, above `top`, 16",
    ),
    "too large": (lambda: raw(lambda x, y: (x * 1e200, y)), r"x has values up to 1e\+200 times `top`"),
    "constant": (lambda: raw(lambda x, y: (x * 0 + 0.1, y)), "train: all values of x are 0.1, .*nothing to"),
    "floats cut to bytes": (
        lambda: raw(lambda x, y: (x.to(torch.uint8), y), top=None),
        "train: all values of x are 0, .* keep them so, with top=1",
    ),
    "bytes and floats": (
        lambda: raw(only_in(20, lambda x, y: ((x * 255).to(torch.uint8), y)), high=200, top=255),
        "x of train is float64 and x of test is uint8; expected bytes in both or floats in both",
    ),
    "other shape": (
        lambda: raw(lambda x, y: (x[..., :3], y)),
        r"`survey` says the shape \(1, 4, 5\), and `read` returns x of \(1, 4, 3\)",
    ),
    "other shape of the test": (
        lambda: raw(only_in(20, lambda x, y: (x.transpose(2, 3), y))),
        r"test: `survey` says the shape \(1, 4, 5\), and `read` returns x of \(1, 5, 4\)",
    ),
    "vectors": (lambda: raw(lambda x, y: (x.flatten(1), y)), r"\(80, 20\); expected \(N, C, H, W\), for vec"),
    "other size": (
        lambda: raw(lambda x, y: (x[1:], y[1:])),
        "`survey` says 80 images, and `read` returns 79",
    ),
    "empty": (lambda: raw(only_in(20, lambda x, y: (x[:0], y[:0]))), "test: `survey` says 20 .* returns 0$"),
    "none": (lambda: None, "`read` returns None; it must return RawData"),
    "a tuple": (lambda: (1, 2), "`read` returns a tuple; it must return RawData"),
    "parts as tuples": (lambda: RawData((1, 2), (3, 4), CLASSES), "train: found a tuple; expected RawPart"),
    "numpy": (
        lambda: RawData(*as_numpy(), CLASSES, top=1),
        "train: x is a numpy.ndarray; expected a tensor",
    ),
    "numpy in as_part": (
        lambda: RawData(*[as_part(part.x, part.y) for part in as_numpy()], CLASSES, top=1),
        "train: x is a numpy.ndarray; expected a tensor",
    ),
    "long integers": (
        lambda: RawData(
            *[RawPart(torch.zeros(n, *SHAPE).long(), torch.zeros(n).long()) for n in (80, 20)], CLASSES
        ),
        "x is int64; expected uint8 or floats",
    ),
    "complex": (lambda: raw(lambda x, y: (x + 1j, y)), "x is complex128; expected uint8 or floats"),
    "a gradient": (lambda: raw(lambda x, y: (x.requires_grad_(), y)), "x needs a gradient"),
    "sparse": (lambda: RawData(RawPart(*sparse(80)), RawPart(*sparse(20)), CLASSES, top=1), "x .* is sparse"),
    "class names": (
        lambda: RawData(raw().train, raw().test, ("a", "b"), top=1),
        "`survey` says 4 classes, and `read` returns 2 class names",
    ),
    "a text of class names": (
        lambda: RawData(raw().train, raw().test, "abcd", top=1),
        "`class_names` is a str; expected a tuple of 4 names",
    ),
    "no class names": (lambda: RawData(raw().train, raw().test, None), "`class_names` is None; expected a"),
    "raises": (lambda: 1 / 0, r"own_data.py:\d+: ZeroDivisionError: division by zero \(in `read`\)"),
}


def sparse(count):
    x, y = map(torch.from_numpy, numbers(count, 0))
    return x.to_sparse(), y


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
        (lambda: None, "`survey` returns None; it must return Survey"),
        (lambda: Survey((1, 4, 5)), "`survey` returns a Survey of a tuple; it must return Survey"),
        (lambda: Survey(RawInfo(20, 4, 80, 20)), r"the shape 20; it must be \(C, H, W\)"),
        (lambda: Survey(RawInfo((1, 4.0, 5), 4, 80, 20)), r"the shape \(1, 4.0, 5\); it must be"),
        (lambda: Survey(RawInfo((1, 0, 5), 4, 80, 20)), r"the shape \(1, 0, 5\); it must be"),
        (
            lambda: Survey(RawInfo(SHAPE, CLASSES, 80, 20)),
            r"says classes=\('a', .*; it must be a whole number",
        ),
        (lambda: Survey(RawInfo(SHAPE, 4, 0, 20)), "says train=0; it must be a whole number from 1"),
        (lambda: Survey(RawInfo(SHAPE, 4, 80, 0)), "says test=0; it must be a whole number from 1"),
        (lambda: Survey(RawInfo((20,), 4, 80, 20)), r"the shape \(20,\); it must be \(C, H, W\)"),
        (fails, r"own_data.py:\d+: KeyError: 'folder' \(in `survey`\)"),
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


@pytest.mark.parametrize("method", ["available", "location"])
def test_every_method_that_fails_is_named(method):
    own = options(raw)
    setattr(type(own), method, lambda self, root: fails())
    with pytest.raises(DataError, match=rf"test_faulty_data.py:\d+: KeyError: 'folder' \(in `{method}`\)"):
        dataset_info(own)


def test_a_method_of_other_arguments_is_named():
    own = options(raw)
    type(own).read = lambda self, root: raw()
    with pytest.raises(DataError, match=r"'own': TypeError: .* takes 2 positional .* \(in `read`\)"):
        load(own)

"""What a data set must return. A user's own set that returns something else is refused with a sentence."""

from __future__ import annotations

import math
import operator
import traceback
from collections.abc import Iterator
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normbench.data.base import DataOptions, RawData, RawInfo, RawPart, Survey
from normbench.errors import DataError, NormbenchError

# Inputs whose largest magnitude, divided by `top`, is outside are lost in float32, or when they are squared.
_MAGNITUDES = (1e-30, 1e30)


def asked(options: DataOptions, method: str, *args: Any) -> Any:
    """Return what a method of a data set returns.

    Args:
        options: the data set.
        method: its name.
        args: its arguments.

    Raises:
        DataError: the method of a user's set fails. An error in a set of normbench keeps its traceback.
    """
    try:
        return getattr(options, method)(*args)
    except NormbenchError:
        raise
    except Exception as error:
        if type(options).__module__.startswith("normbench."):
            raise
        # The first frame is this function, the second one the user's method. A call that it does not take
        # has no second frame.
        frames = traceback.extract_tb(error.__traceback__)[1:]
        own = [frame for frame in frames if frame.filename == frames[0].filename]
        where = f"{Path(own[-1].filename).name}:{own[-1].lineno}: " if own else ""
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise DataError(f"data '{options.name}': {where}{text} (in `{method}`)") from error


def surveyed(options: DataOptions, root: Path) -> Survey:
    """Return the survey of a data set.

    Raises:
        DataError: the set has no survey, or its survey fails or says no shapes and sizes.
    """
    mend = "Survey(RawInfo((C, H, W), classes, train, test))"
    _refuse_missing(options, "survey", f"return {mend}")
    survey = asked(options, "survey", root)
    if not isinstance(survey, Survey):
        raise DataError(f"data '{options.name}': `survey` returns {_kind(survey)}; it must return {mend}")
    info = survey.info
    if not isinstance(info, RawInfo):
        raise DataError(
            f"data '{options.name}': `survey` returns a Survey of {_kind(info)}; it must return {mend}"
        )
    shape = tuple(map(_count, info.input_shape)) if isinstance(info.input_shape, (tuple, list)) else ()
    if len(shape) != 3 or 0 in shape:
        raise DataError(
            f"data '{options.name}': `survey` says the shape {info.input_shape!r}; it must be (C, H, W), "
            "three whole numbers from 1, for vectors of D numbers (1, 1, D)"
        )
    counts = {name: _count(getattr(info, name)) for name in ("classes", "train", "test")}
    for name, count in counts.items():
        if not count:
            raise DataError(
                f"data '{options.name}': `survey` says {name}={getattr(info, name)!r}; it must be a whole "
                "number from 1"
            )
    return replace(survey, info=RawInfo(shape, **counts))


def raw_data(options: DataOptions, root: Path, survey: Survey, *more: Any) -> RawData:
    """Return the data of a set as stored, after a check.

    Args:
        options: the data set.
        root: data root.
        survey: what `surveyed` returned.
        more: the other arguments of `read`.

    Raises:
        DataError: `read` fails, or returns something that training cannot use or the survey does not say.
    """
    _refuse_missing(options, "read", "return RawData(train, test, class_names)")
    raw = asked(options, "read", root, survey, *more)
    if not isinstance(raw, RawData):
        raise DataError(
            f"data '{options.name}': `read` returns {_kind(raw)}; it must return "
            "RawData(train, test, class_names)"
        )
    for fault in _faults(raw, survey.info):  # the later ones make no sense without the earlier ones
        raise DataError(f"data '{options.name}'{fault}")
    return replace(raw, class_names=tuple(map(str, raw.class_names)))


def _refuse_missing(options: DataOptions, method: str, mend: str) -> None:
    if getattr(type(options), method) is getattr(DataOptions, method):
        raise DataError(f"data '{options.name}': the class has no method `{method}`; write one: `{mend}`")


def _faults(raw: RawData, info: RawInfo) -> Iterator[str]:
    """Yield what makes the data other than training needs and the survey says."""
    names, top = raw.class_names, raw.top
    if isinstance(names, str) or not hasattr(names, "__len__"):
        yield f": `class_names` is {_kind(names)}; expected a tuple of {info.classes} names"
    if len(names) != info.classes:
        yield (
            f": `survey` says {info.classes} classes, and `read` returns {len(names)} class names; "
            "the numbers must be equal"
        )
    if top is not None and (not isinstance(top, Real) or not math.isfinite(top) or top <= 0):
        yield f": `top` is {top!r}; expected the number above 0 that stands for 1.0"
    for part, images, count in (("train", raw.train, info.train), ("test", raw.test, info.test)):
        for fault in _faults_of_part(images, info, count):
            yield f", {part}: {fault}"
        for fault in _faults_of_values(images.x, raw):
            yield f", {part}: {fault}"
    train, test = raw.train.x, raw.test.x
    if train.is_floating_point() != test.is_floating_point():
        yield (
            f": x of train is {_dtype(train)} and x of test is {_dtype(test)}; expected bytes in both or "
            "floats in both, scaled alike"
        )


def _faults_of_part(part: object, info: RawInfo, count: int) -> Iterator[str]:
    """Yield what is wrong with the types, shapes and labels of a part."""
    if not isinstance(part, RawPart):
        yield f"found {_kind(part)}; expected RawPart(x, y), as `as_part(x, y)` makes it"
        return
    for letter, tensor in (("x", part.x), ("y", part.y)):
        if not isinstance(tensor, Tensor):
            yield f"{letter} is {_kind(tensor)}; expected a tensor (torch.from_numpy)"
        if tensor.requires_grad or tensor.layout != torch.strided or tensor.device.type != "cpu":
            yield (
                f"{letter} needs a gradient, is sparse or is on a device; expected a plain tensor in memory "
                "(.detach(), .to_dense(), .cpu())"
            )
    x, y = part.x, part.y
    if x.dim() != 4:
        yield f"x has the shape {tuple(x.shape)}; expected (N, C, H, W), for vectors (N, 1, 1, D)"
    if y.dim() != 1:
        yield f"y has the shape {tuple(y.shape)}; expected one label for each image, ({len(x)},)"
    if len(x) != len(y):
        yield f"there are {len(x)} images in x and {len(y)} labels in y; the numbers must be equal"
    if len(x) != count:
        yield f"`survey` says {count} images, and `read` returns {len(x)}"
    if tuple(x.shape[1:]) != info.input_shape:
        yield f"`survey` says the shape {info.input_shape}, and `read` returns x of {tuple(x.shape[1:])}"
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        yield f"the labels y are {_dtype(y)}; expected whole numbers from 0 (int64)"
    if y.dtype != torch.int64:
        yield f"the labels y are {_dtype(y)}; expected int64, as `as_part(x, y)` makes them"
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= info.classes:
        hint = "; subtract 1" if low == 1 and high == info.classes else ""
        yield f"the labels y run from {low} to {high}; expected 0 to {info.classes - 1}{hint}"
    if not x.is_floating_point() and x.dtype != torch.uint8:
        yield f"x is {_dtype(x)}; expected uint8 or floats, as `as_part(x, y)` makes them"


def _faults_of_values(x: Tensor, raw: RawData) -> Iterator[str]:
    """Yield what is wrong with the values of a part, and with `top` as their scale."""
    if x.is_floating_point() and not bool((finite := torch.isfinite(x)).all()):
        count, first = int((~finite).sum()), tuple((~finite).nonzero()[0].tolist())
        yield f"x has {count} values that are NaN or infinite, the first at {first}"
    low, high = float(x.min()), float(x.max())
    if low == high and x is raw.train.x:
        lost = "" if x.is_floating_point() else "; if they were floats in [0, 1], keep them so, with top=1"
        yield f"all values of x are {low:g}, so that there is nothing to learn from{lost}"
    if not x.is_floating_point() and raw.top is not None and high > raw.top:
        yield f"x has values up to {high:g}, above `top`, {raw.top:g}; features are floats: x.float()"
    bytes_ = low >= 0 and high <= 255 and (not x.is_floating_point() or bool((x == x.floor()).all()))
    if (low >= 0 and high <= 1 and raw.one >= 255) or (raw.top is None and not bytes_):
        mend = next((top for top in (1, 255, 65535) if low >= 0 and high <= top), 1)
        yield (
            f"x is {_dtype(x)}, from {low:.3g} to {high:.3g}, and `top` is {raw.one:g}; say which value "
            f"stands for 1.0: RawData(..., top={mend})"
        )
    largest = max(-low, high) / raw.one
    if largest and not _MAGNITUDES[0] < largest < _MAGNITUDES[1]:
        yield (
            f"x has values up to {largest:.3g} times `top`; expected between {_MAGNITUDES[0]:g} and "
            f"{_MAGNITUDES[1]:g} times: choose another `top`"
        )


def _count(value: Any) -> int:
    """Return a whole number from 1, or 0 if the value is none."""
    try:
        return max(operator.index(value), 0)
    except TypeError:
        return 0


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _kind(value: object) -> str:
    if value is None:
        return "None"
    return f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")

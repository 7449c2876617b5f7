"""What a data set must return. A user's own set that returns something else is refused with a sentence."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from normbench.data.base import DataOptions, RawData, RawInfo, RawPart, Survey
from normbench.errors import DataError, NormbenchError


def surveyed(options: DataOptions, root: Path) -> Survey:
    """Return the survey of a data set.

    Raises:
        DataError: the set has no survey, or its survey fails or is of another type.
    """
    _refuse_missing(options, "survey", "return Survey(RawInfo((C, H, W), classes, train, test))")
    with _blaming(options, "survey"):
        survey = options.survey(root)
    if not isinstance(survey, Survey) or not isinstance(survey.info, RawInfo):
        raise DataError(
            f"data '{options.name}': `survey` returns a {type(survey).__name__}; it must return "
            "Survey(RawInfo((C, H, W), classes, train, test))"
        )
    if len(survey.info.input_shape) != 3:
        raise DataError(
            f"data '{options.name}': `survey` says the shape {survey.info.input_shape}; it must be "
            "(C, H, W), for vectors of D numbers (1, 1, D)"
        )
    return survey


def raw_data(options: DataOptions, root: Path, survey: Survey, *more: Any) -> RawData:
    """Return the data of a set as stored, after a check.

    Args:
        options: the data set.
        root: data root.
        survey: what `surveyed` returned.
        more: the other arguments of `read`.

    Raises:
        DataError: `read` fails, or returns something that the survey does not say.
    """
    _refuse_missing(options, "read", "return RawData(train, test, class_names)")
    with _blaming(options, "read"):
        raw = options.read(root, survey, *more)
    _check(options.name, raw, survey.info)
    return raw


def _refuse_missing(options: DataOptions, method: str, mend: str) -> None:
    if getattr(type(options), method) is getattr(DataOptions, method):
        raise DataError(f"data '{options.name}': the class has no method `{method}`; write one: `{mend}`")


@contextmanager
def _blaming(options: DataOptions, method: str) -> Iterator[None]:
    """Turn an error in a user's method into a sentence; a fault of our own keeps its traceback."""
    try:
        yield
    except NormbenchError:
        raise
    except Exception as error:
        if type(options).__module__.startswith("normbench."):
            raise
        own = str(Path(inspect.getfile(type(options))).resolve())
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if str(Path(frame.filename).resolve()) == own]
        where = f"{Path(own).name}:{lines[-1]}: " if lines else ""
        raise DataError(
            f"data '{options.name}': {where}{type(error).__name__}: {error} (in `{method}`)"
        ) from error


def _check(name: str, raw: object, info: RawInfo) -> None:
    """Raise a DataError if the data are not what training needs and what the survey says."""
    if not isinstance(raw, RawData):
        raise DataError(
            f"data '{name}': `read` returns {_kind(raw)}; it must return RawData(train, test, class_names)"
        )
    if len(raw.class_names) != info.classes:
        raise DataError(
            f"data '{name}': `survey` says {info.classes} classes, and `read` returns "
            f"{len(raw.class_names)} class names; the numbers must be equal"
        )
    for part, images, count in (("train", raw.train, info.train), ("test", raw.test, info.test)):
        for fault in _faults(images, raw.top, info, count):
            raise DataError(f"data '{name}', {part}: {fault}")


def _faults(part: object, top: float | None, info: RawInfo, count: int) -> Iterator[str]:
    """Yield what is wrong with a part; only the first sentence is sure to make sense."""
    if not isinstance(part, RawPart):
        yield f"found {_kind(part)}; expected RawPart(x, y), as `as_part(x, y)` makes it"
        return
    for letter, tensor in (("x", part.x), ("y", part.y)):
        if not isinstance(tensor, Tensor):
            yield f"{letter} is {_kind(tensor)}; expected a tensor (torch.from_numpy)"
    x, y = part.x, part.y
    if x.dim() != 4:
        yield f"x has the shape {tuple(x.shape)}; expected (N, C, H, W), for vectors (N, 1, 1, D)"
    if y.dim() != 1:
        yield f"y has the shape {tuple(y.shape)}; expected one label for each image, ({len(x)},)"
    if len(x) != len(y):
        yield f"there are {len(x)} images and {len(y)} labels"
    if len(x) != count:
        yield f"`survey` says {count} images, and `read` returns {len(x)}"
    if not len(x):
        yield "there is no image"
    if tuple(x.shape[1:]) != tuple(info.input_shape):
        yield f"`survey` says the shape {tuple(info.input_shape)}, and `read` returns {tuple(x.shape[1:])}"
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        yield f"the labels are {_dtype(y)}; expected whole numbers from 0 (int64)"
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= info.classes:
        hint = "; subtract 1" if low == 1 and high == info.classes else ""
        yield f"the labels run from {low} to {high}; expected 0 to {info.classes - 1}{hint}"
    yield from _faults_of_values(x, top)


def _faults_of_values(x: Tensor, top: float | None) -> Iterator[str]:
    if x.is_floating_point():
        if top is None:
            yield (
                f"x is {_dtype(x)}, from {float(x.min()):.3g} to {float(x.max()):.3g}; say which value "
                "stands for 1.0: RawData(..., top=1)"
            )
        if not bool(torch.isfinite(x).all()):
            yield "x has values that are NaN or infinite"
    elif x.dtype != torch.uint8:
        yield f"x is {_dtype(x)}; expected uint8 or floats, as `as_part(x, y)` makes them"
    elif top is not None and int(x.max()) > top:
        yield f"x has values up to {int(x.max())}, above `top`, {top:g}"
    if top is not None and not top > 0:
        yield f"`top` is {top}; it must be above 0"


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _kind(value: object) -> str:
    return (
        "None"
        if value is None
        else f"a {type(value).__module__}.{type(value).__name__}".replace("builtins.", "")
    )

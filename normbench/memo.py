"""Remembers answers about objects that many cells share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class Memo(Generic[Answer]):
    """A function that answers only once for the same objects.

    The key is the identity of the objects, which is faster than hashing them: the cells of a plan share their
    sections.
    """

    def __init__(self, function: Callable[..., Answer]) -> None:
        self._function = function
        # The objects are kept with the answer: the id of a deleted object may be given to another one.
        self._answers: dict[tuple[int, ...], tuple[tuple[Any, ...], Answer]] = {}

    def __call__(self, *things: Any) -> Answer:
        """Return the answer about these objects."""
        key = tuple(map(id, things))
        found = self._answers.get(key)
        if found is None:
            found = self._answers[key] = things, self._function(*things)
        return found[1]

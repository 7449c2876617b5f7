"""MNIST."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.data.idx import FILES, IdxSet

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Mnist(IdxSet):
    """Handwritten digits, 28x28 grayscale, 60,000 + 10,000 images."""

    paper: ClassVar[str] = "LeCun et al. 1998, Gradient-based learning applied to document recognition"
    layout: ClassVar[str] = "MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte"
    source: ClassVar[str] = "MNIST"
    files: ClassVar[tuple[str, ...]] = tuple(f"MNIST/raw/{file}" for file in FILES)
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_count: ClassVar[int] = 10
    names: ClassVar[tuple[str, ...]] = tuple(f"{digit} - {word}" for digit, word in enumerate(_WORDS))
    train_images: ClassVar[int] = 60_000
    test_images: ClassVar[int] = 10_000

    name: Literal["mnist"] = "mnist"

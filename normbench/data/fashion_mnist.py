"""Fashion-MNIST."""

from __future__ import annotations

from typing import ClassVar, Literal

from normbench.data.idx import FILES, IdxSet


class FashionMnist(IdxSet):
    """Articles of clothing, 28x28 grayscale, 60,000 + 10,000 images."""

    paper: ClassVar[str] = "Xiao et al. 2017, arXiv:1708.07747"
    layout: ClassVar[str] = "FashionMNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte"
    source: ClassVar[str] = "FashionMNIST"
    files: ClassVar[tuple[str, ...]] = tuple(f"FashionMNIST/raw/{file}" for file in FILES)
    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    class_count: ClassVar[int] = 10
    names: ClassVar[tuple[str, ...]] = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    train_images: ClassVar[int] = 60_000
    test_images: ClassVar[int] = 10_000

    name: Literal["fashion_mnist"] = "fashion_mnist"

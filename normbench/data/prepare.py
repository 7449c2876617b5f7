"""From images as stored to the tensors of a run: choose, binarize, standardize.

    z = (x - mean) / max(std, floor)

with x divided by the value that stands for 1, so that it is in [0, 1] for images. The mean and the
(population) standard deviation, in float64, are those of the training images in use. The floor is that of
bytes; floats have none. With `zca`,
z = (S + eps I)^(-1/2) (x - mean), with the covariance S of all features of an image (LeCun et al. 1998).

All of it is computed by one thread: another number of threads rounds products, sums of floats and
eigenvectors in another way, and a run must not depend on the launcher that prepares its data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from normbench import seeding
from normbench.cores import one_thread
from normbench.data.base import DataOptions, Dataset, RawData, RawInfo, RawPart, Split
from normbench.errors import DataError

# A pixel or channel with a standard deviation below 1 % of the range counts as constant. Dividing by less
# would turn one unusual pixel of a test image into an input of hundreds of standard deviations.
STD_FLOOR = 0.01
# Images converted at a time. They fit into the processor's cache, and their sums of squares are exact in
# float32 (256 x 255^2 < 2^24).
CHUNK = 256


@dataclass(frozen=True)
class Sizes:
    """The number of images in each part that a run uses."""

    train: int
    val: int
    test: int


def part_sizes(options: DataOptions, info: RawInfo) -> Sizes:
    """Return the sizes of the parts, or raise a `DataError` that names the option that asks for too many."""
    if options.val_size >= info.train:
        raise DataError(
            f"data.val_size: {options.val_size} leaves none of the {info.train} training images "
            f"({options.name}); allowed: 0 to {info.train - 1}"
        )
    left = info.train - options.val_size
    train = left if options.train_size is None else options.train_size
    if train > left:
        taken = f" that val_size: {options.val_size} leaves" if options.val_size else ""
        raise DataError(
            f"data.train_size: {train} is more than the {left} training images{taken} "
            f"({options.name}); allowed: 1 to {left}"
        )
    test = info.test if options.test_size is None else options.test_size
    if test > info.test:
        raise DataError(
            f"data.test_size: {test} is more than the {info.test} test images ({options.name}); "
            f"allowed: 1 to {info.test}"
        )
    if options.batch_size > train:
        raise DataError(
            f"data.batch_size: {options.batch_size} is larger than the training part of {train} images "
            f"({options.name}); allowed: 1 to {train}"
        )
    return Sizes(train, options.val_size, test)


def stratified(y: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Return `size` sorted indices into y with the class shares of y (by largest remainders)."""
    total = len(y)
    order = torch.randperm(total, generator=generator)
    if size >= total:
        return torch.arange(total)
    counts = torch.bincount(y)
    wanted = counts * size // total
    remainders = counts * size % total
    for label in torch.argsort(remainders, descending=True, stable=True)[: size - int(wanted.sum())]:
        wanted[label] += 1
    shuffled = y[order]
    chosen = [order[shuffled == label][:n] for label, n in enumerate(wanted.tolist())]
    return torch.cat(chosen).sort().values


def entropy(y: Tensor) -> float:
    """Return the entropy of the labels in nats: ln 10 for ten equal classes."""
    counts = torch.bincount(y).tolist()
    return -sum(n / len(y) * math.log(n / len(y)) for n in counts if n)


def statistics(x: Tensor, standardize: str, top: float) -> tuple[Tensor, Tensor]:
    """Return mean and divisor, float64 and broadcastable, of images (N, C, H, W) divided by `top`.

    The sums over bytes are sums of integers and exact, so that they do not depend on threads or chunks.
    """
    if x.is_floating_point() and standardize != "none":
        return _float_statistics(x, standardize, top)
    if standardize == "none":
        return torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    total = torch.zeros(x.shape[1:], dtype=torch.float64)  # (C, H, W)
    squares = torch.zeros_like(total)
    for chunk in x.split(CHUNK):
        values = chunk.float()
        total += values.sum(0)
        squares += values.square_().sum(0)
    count = len(x)
    if standardize == "channel":
        count *= x.shape[2] * x.shape[3]
        total, squares = total.sum((1, 2), keepdim=True), squares.sum((1, 2), keepdim=True)  # (C, 1, 1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=0)
    return mean / top, (variance.sqrt() / top).clamp(min=STD_FLOOR)


def _float_statistics(x: Tensor, standardize: str, top: float) -> tuple[Tensor, Tensor]:
    """Return mean and divisor of floats. What is constant up to rounding is divided by `top` only.

    Floats have no range that a floor could be a share of, and features may have different units. The mean is
    that of the differences from one value: it is exact for a constant, and far from zero.
    """
    per_channel = standardize == "channel"
    dims = (0, 2, 3) if per_channel else (0,)
    origin = (x[:1, :, :1, :1] if per_channel else x[:1]).double()
    count = len(x) * (x.shape[2] * x.shape[3] if per_channel else 1)

    def mean_of(change: Callable[[Tensor], Tensor]) -> Tensor:
        total = torch.zeros_like(origin)
        for chunk in x.split(CHUNK):
            total += change(chunk.double()).sum(dims, keepdim=True)
        return total / count

    mean = origin + mean_of(lambda values: values - origin)
    std = mean_of(lambda values: (values - mean).square()).sqrt()
    largest = torch.stack([chunk.abs().amax(dims, keepdim=True) for chunk in x.split(CHUNK)]).amax(0)
    constant = std <= torch.finfo(x.dtype).eps * largest.double()
    return (mean / top).squeeze(0), (std / top).where(~constant, 1.0).squeeze(0)


Scaling = Callable[[Tensor], Tensor]  # images as stored (n, C, H, W) -> inputs float64 (n, C, H, W)


def scaling(x: Tensor, options: DataOptions, top: float) -> Scaling:
    """Return the function that scales the images of all parts, from the training images x (N, C, H, W)."""
    factors = unequal_factors(x.shape[1:], options.unequal_scales)
    if options.standardize == "zca":
        mean, matrix = zca(x, top, options.zca_eps)

        def white(chunk: Tensor) -> Tensor:
            rows = (chunk.double() / top).flatten(1) - mean
            return (rows @ matrix).view(chunk.shape) * factors

        return white
    mean, std = statistics(x, options.standardize, top)
    return lambda chunk: (chunk.double() / top).sub_(mean).div_(std) * factors


def zca(x: Tensor, top: float, eps: float) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and (S + eps I)^(-1/2), (D, D), of images in [0, 1], float64, D = C H W."""
    mean = x.flatten(1).double().mean(0) / top
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for chunk in x.split(CHUNK):
        rows = (chunk.double() / top).flatten(1) - mean
        covariance.addmm_(rows.T, rows, alpha=1 / len(x))
    values, vectors = torch.linalg.eigh(covariance)
    if x.is_floating_point() and float(values.max()) < eps:
        raise DataError(
            f"data.zca_eps: {eps:g} is above all variances of the inputs divided by `top`, at most "
            f"{float(values.max()):.2g}, so that the inputs would stay near 0; choose a smaller one"
        )
    return mean, (vectors * (values.clamp_min(0) + eps).rsqrt()) @ vectors.T


def unequal_factors(shape: tuple[int, ...], spread: float) -> Tensor:
    """Return 10^u for each feature, u uniform in +-spread; equal for all seeds, runs and machines."""
    uniform = torch.rand(shape, generator=seeding.generator(0, "unequal_scales"), dtype=torch.float64)
    return torch.pow(10.0, spread * (2 * uniform - 1))


def noisy_labels(y: Tensor, classes: int, options: DataOptions) -> Tensor:
    """Return the labels with round(label_noise N) of them replaced by another class.

    They are chosen by `split_seed`, so that all runs of a comparison have the same labels.
    """
    count = round(options.label_noise * len(y))
    if not count:
        return y
    if classes < 2:
        raise DataError("data.label_noise: a single class has no other label; set it to 0")
    generator = seeding.generator(_split_seed(options), "label_noise")
    chosen = torch.randperm(len(y), generator=generator)[:count]
    shift = torch.randint(1, classes, (count,), generator=generator)
    noisy = y.clone()
    noisy[chosen] = (y[chosen] + shift) % classes
    return noisy


def _split_seed(options: DataOptions) -> int:
    """Return the seed of all choices of images and labels."""
    if options.split_seed == "seed":
        raise DataError(
            "data.split_seed: 'seed' stands for the seed of a run, so there are as many data sets as seeds; "
            "in Python, take options.for_seed(0)"
        )
    return options.split_seed


@one_thread()
def prepare(
    raw: RawData,
    options: DataOptions,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Dataset:
    """Return the parts in use, scaled by the statistics of the training part, on the device.

    Args:
        raw: the data as stored.
        options: sizes, scaling and label noise.
        dtype: type of the images.
        device: device of the tensors.

    Raises:
        DataError: the options ask for too many images, leave nothing of the inputs, or name no seed.
    """
    channels, height, width = raw.train.x.shape[1:]
    info = RawInfo((channels, height, width), len(raw.class_names), len(raw.train.y), len(raw.test.y))
    sizes = part_sizes(options, info)

    rest = torch.ones(info.train, dtype=torch.bool)
    val_index = stratified(raw.train.y, sizes.val, seeding.generator(_split_seed(options), "split", "val"))
    rest[val_index] = False
    rest_index = rest.nonzero().squeeze(1)
    chosen = stratified(
        raw.train.y[rest_index], sizes.train, seeding.generator(_split_seed(options), "split", "train")
    )
    test_index = stratified(raw.test.y, sizes.test, seeding.generator(_split_seed(options), "split", "test"))

    top = 1 if options.binarize else raw.one
    parts = [
        _pick(raw.train, rest_index[chosen], options.binarize, raw.one),
        _pick(raw.train, val_index, options.binarize, raw.one),
        _pick(raw.test, test_index, options.binarize, raw.one),
    ]
    if options.binarize and len(parts[0].x.unique()) < 2:
        raise DataError(
            f"data.binarize: {'all' if parts[0].x.any() else 'none'} of the training inputs of "
            f"'{options.name}' are above {raw.one / 2:g}, half of `top`; set it to false"
        )
    parts[0] = RawPart(parts[0].x, noisy_labels(parts[0].y, info.classes, options))
    scale = scaling(parts[0].x, options, top)
    train, val, test = (Split(_scaled(part.x, scale, dtype).to(device), part.y.to(device)) for part in parts)
    return Dataset(
        name=options.name,
        train=train,
        val=val if sizes.val else None,
        test=test,
        classes=info.classes,
        class_names=raw.class_names,
        label_entropy=entropy(parts[0].y),
    )


def _pick(part: RawPart, index: Tensor, binarize: bool, top: float) -> RawPart:
    x = part.x if len(index) == len(part.y) else part.x[index]
    y = part.y if len(index) == len(part.y) else part.y[index]
    return RawPart((x > top / 2).to(torch.uint8) if binarize else x, y)


def _scaled(x: Tensor, scale: Scaling, dtype: torch.dtype) -> Tensor:
    out = torch.empty(x.shape, dtype=dtype)
    for chunk, target in zip(x.split(CHUNK), out.split(CHUNK), strict=True):
        target.copy_(scale(chunk))  # in float64, rounded once
    return out

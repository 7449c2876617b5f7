"""The order of the batches and the augmentation depend only on the seed."""

from __future__ import annotations

import pytest
import torch

from normbench.data import Augment, Batches, augment_batch, batch_order, draw
from normbench.data.augment import apply
from normbench.errors import DataError


def test_every_epoch_is_a_new_order_of_all_images():
    orders = [batch_order(3, epoch, 50) for epoch in range(3)]
    for order in orders:
        assert order.sort().values.tolist() == list(range(50))
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], batch_order(3, 0, 50))
    assert not torch.equal(orders[0], batch_order(4, 0, 50))


def test_batches_drop_the_incomplete_last_one_and_can_be_taken_in_any_order():
    batches = Batches(3, 50, 15)
    assert batches.steps_per_epoch == 3
    forward = [batches.indices(step) for step in range(7)]
    assert torch.equal(torch.cat(forward[:3]), batch_order(3, 0, 50)[:45])
    assert torch.equal(forward[6], batch_order(3, 2, 50)[:15])
    again = Batches(3, 50, 15)
    for step in (6, 0, 4):
        assert torch.equal(again.indices(step), forward[step])
    with pytest.raises(DataError, match=r"batch_size: 51 .* 50"):
        Batches(0, 50, 51)


def reference(image: torch.Tensor, top: int, left: int, flip: bool, pad: int) -> torch.Tensor:
    """Crop, then mirror, one image at a time."""
    channels, height, width = image.shape
    padded = torch.zeros(channels, height + 2 * pad, width + 2 * pad)
    padded[:, pad : pad + height, pad : pad + width] = image
    crop = padded[:, top : top + height, left : left + width]
    return crop.flip(2) if flip else crop


@pytest.mark.parametrize("options", [Augment(pad=2, flip=True), Augment(pad=3), Augment(flip=True)])
def test_augmentation_of_a_batch_equals_one_image_at_a_time(options: Augment):
    x = torch.rand(40, 3, 6, 5)
    draws = draw(options, seed=1, step=7, batch=40)
    got = augment_batch(x, options, seed=1, step=7)
    assert torch.equal(got, apply(x, draws, options.pad))
    for i in range(40):
        top, left, flip = (int(values[i]) for values in (draws.top, draws.left, draws.flip))
        assert torch.equal(got[i], reference(x[i], top, left, bool(flip), options.pad))
    assert options.pad == 0 or set(draws.top.tolist()) == set(range(2 * options.pad + 1))
    assert options.flip == bool(draws.flip.any())


def test_augmentation_depends_on_seed_and_step_and_is_off_by_default():
    x = torch.rand(20, 1, 6, 6)
    options = Augment(pad=2, flip=True)
    assert torch.equal(augment_batch(x, options, 1, 2), augment_batch(x, options, 1, 2))
    assert not torch.equal(augment_batch(x, options, 1, 2), augment_batch(x, options, 1, 3))
    assert not torch.equal(augment_batch(x, options, 1, 2), augment_batch(x, options, 2, 2))
    assert augment_batch(x, Augment(), 1, 2) is x
    assert torch.equal(draw(Augment(pad=2), 1, 2, 20).top, draw(options, 1, 2, 20).top)

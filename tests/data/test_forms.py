"""Whitened and unequally scaled inputs, input noise and label noise, exact and from the right seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from normbench.data import Augment, augment_batch, load
from normbench.data.base import RawData, RawPart
from normbench.data.digits import Digits
from normbench.data.prepare import prepare

ALL = {"batch_size": 20, "split_seed": 0}


def digits(**options: object):
    return load(Digits(**{**ALL, **options}), dtype=torch.float64)


def covariance(x: torch.Tensor) -> np.ndarray:
    return np.cov(x.flatten(1).numpy(), rowvar=False, bias=True)


def test_zca_whitens_the_training_part_by_a_symmetric_matrix():
    eps = 1e-6
    white, plain = digits(standardize="zca", zca_eps=eps), digits(standardize="none")
    values, vectors = np.linalg.eigh(covariance(plain.train.x))
    values = values.clip(0)
    expected = (vectors * values / (values + eps)) @ vectors.T  # 1 except in directions without variance
    np.testing.assert_allclose(covariance(white.train.x), expected, atol=1e-8)
    np.testing.assert_allclose(white.train.x.mean(0).numpy(), 0, atol=1e-9)
    mean = plain.train.x.flatten(1).numpy().mean(0)
    matrix = (vectors / np.sqrt(values + eps)) @ vectors.T  # symmetric, so without rotation
    by_hand = (plain.test.x.flatten(1).numpy() - mean) @ matrix
    np.testing.assert_allclose(white.test.x.flatten(1).numpy(), by_hand, atol=1e-8)


def test_zca_uses_only_the_training_images_in_use():
    few = digits(standardize="zca", train_size=500)
    again = digits(standardize="zca", train_size=500, test_size=30)
    assert torch.equal(few.train.x, again.train.x)
    assert not torch.equal(few.test.x, digits(standardize="zca", train_size=700).test.x)


@pytest.mark.parametrize("standardize", ["channel", "feature", "zca"])
def test_inputs_do_not_depend_on_the_number_of_threads(standardize):
    images = torch.rand(1200, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    train, test = RawPart(images[:900], torch.arange(900) % 10), RawPart(images[900:], torch.arange(300) % 10)
    raw, options = RawData(train, test, tuple("0123456789"), top=1.0), Digits(standardize=standardize, **ALL)
    before = torch.get_num_threads()
    try:
        made = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            made.append(prepare(raw, options, torch.float64))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert torch.equal(other.train.x, made[0].train.x)
        assert torch.equal(other.test.x, made[0].test.x)


@pytest.mark.parametrize("standardize", ["none", "channel", "feature", "zca"])
def test_unequal_scales_multiply_each_feature_by_one_number_in_all_parts(standardize):
    plain = digits(standardize=standardize)
    scaled = digits(standardize=standardize, unequal_scales=1.5, split_seed=0)
    seen = plain.train.x.abs().amax(0) > 0
    factor = (scaled.train.x / plain.train.x).nan_to_num().amax(0)
    torch.testing.assert_close(scaled.train.x, plain.train.x * factor.where(seen, torch.tensor(0.0)))
    torch.testing.assert_close(scaled.test.x[:, seen], (plain.test.x * factor)[:, seen])
    exponents = factor[seen].log10()
    assert exponents.abs().max() <= 1.5
    assert exponents.min() < -1.2
    assert exponents.max() > 1.2
    assert exponents.mean().abs() < 0.35


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_label_noise_replaces_exactly_its_share_of_the_training_labels(share):
    plain, noisy = digits(val_size=100), digits(val_size=100, label_noise=share)
    changed = int((plain.train.y != noisy.train.y).sum())
    assert changed == round(share * len(plain.train))
    assert torch.equal(plain.val.y, noisy.val.y)
    assert torch.equal(plain.test.y, noisy.test.y)
    assert int(noisy.train.y.max()) <= 9
    if share:
        other = digits(val_size=100, label_noise=share, split_seed=1)
        assert not torch.equal(other.train.y, noisy.train.y)
        shifts = torch.bincount((noisy.train.y - plain.train.y) % 10, minlength=10)[1:]
        assert int(shifts.min()) > 0.5 * changed / 9  # every other class equally often


def test_input_noise_depends_on_seed_and_step_and_has_its_standard_deviation():
    x = torch.zeros(50, 3, 8, 8, dtype=torch.float64)
    noise = Augment(noise=0.15)
    one = augment_batch(x, noise, seed=1, step=2)
    assert float(one.std()) == pytest.approx(0.15, rel=0.02)
    assert float(one.mean()) == pytest.approx(0, abs=0.005)
    assert torch.equal(one, augment_batch(x, noise, seed=1, step=2))
    assert not torch.equal(one, augment_batch(x, noise, seed=1, step=3))
    assert not torch.equal(one, augment_batch(x, noise, seed=2, step=2))
    torch.testing.assert_close(augment_batch(x, Augment(noise=0.3), seed=1, step=2), 2 * one)
    both = augment_batch(x + 1, Augment(noise=0.15, flip=True), seed=1, step=2)
    torch.testing.assert_close(both, one + 1)  # the noise is not mirrored with the image


def test_these_options_are_hashed_only_where_they_are_used():
    """They are newer than published results, whose run ids must stay valid."""
    new = {"zca_eps", "unequal_scales", "label_noise"}
    plain = Digits(**ALL).identity()
    assert not new & set(plain)
    assert set(plain["augment"]) == {"pad", "flip"}
    used = Digits(**ALL, label_noise=0.1, augment=Augment(noise=0.1)).identity()
    assert used["label_noise"] == 0.1
    assert used["augment"]["noise"] == 0.1
